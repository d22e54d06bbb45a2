"""CUB-200-2011 and Tiny-ImageNet, read from small archives in the layout of the published ones."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from chimeramix.data import CUB200, TinyImageNet, image_archive
from chimeramix.data.image_file import Reading
from chimeramix.errors import UserError
from chimeramix.types import DataSource
from tests.data.fake_archives import HALF, write_archive


def picture(colour, size=(64, 64), kind="JPEG"):
    """Of one colour, which JPEG keeps but for a level or two."""
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, kind)
    return content.getvalue()


CUB = {
    # number, file, class, in the training part, colour
    1: ("001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", 1, 0, (10, 20, 30)),
    2: ("001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 1, 1, (60, 20, 30)),
    3: ("002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg", 2, 1, (110, 20, 30)),
    4: ("002.Laysan_Albatross/Laysan_Albatross_0003_1033.jpg", 2, 1, (160, 20, 30)),
    5: ("002.Laysan_Albatross/Laysan_Albatross_0082_524.jpg", 2, 0, (210, 20, 30)),
}


def publish_cub(store):
    rows = CUB.items()
    files = {
        "README": b"not wanted",
        "classes.txt": b"1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
        "images.txt": "".join(f"{number} {row[0]}\n" for number, row in rows).encode(),
        "image_class_labels.txt": "".join(f"{number} {row[1]}\n" for number, row in rows).encode(),
        "train_test_split.txt": "".join(f"{number} {row[2]}\n" for number, row in rows).encode(),
        "parts/part_locs.txt": b"not wanted",
        **{f"images/{row[0]}": picture(row[3], (80, 60)) for _, row in rows},
    }
    return type("CUB200", (CUB200,), {"md5": write_archive(store / "CUB_200_2011.tgz", "CUB_200_2011", files)})


def publish_tiny(store):
    red, green, blue, grey = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)
    files = {
        "wnids.txt": b"n02124075\nn01443537\n",
        "words.txt": b"n01443537\tgoldfish\n",
        "train/n02124075/n02124075_boxes.txt": b"n02124075_0.JPEG\t0\t0\t1\t1\n",
        "train/n02124075/images/n02124075_0.JPEG": picture(red),
        "train/n01443537/images/n01443537_0.JPEG": picture(green),
        "train/n01443537/images/n01443537_10.JPEG": picture(blue),
        "train/n01443537/images/n01443537_1.JPEG": picture(grey),
        "val/val_annotations.txt": b"val_0.JPEG\tn02124075\t0\t32\t44\t62\nval_1.JPEG\tn01443537\t52\t55\t57\t59\n",
        "val/images/val_0.JPEG": picture(red),
        "val/images/val_1.JPEG": picture(grey),
        "test/images/test_0.JPEG": b"not wanted",
    }
    archive = store / "tiny-imagenet-200.zip"
    return type("TinyImageNet", (TinyImageNet,), {"md5": write_archive(archive, "tiny-imagenet-200", files)})


@pytest.fixture
def store(tmp_path):
    """The folder that serves as mirror."""
    store = tmp_path / "my mirror"
    store.mkdir()
    return store


@pytest.fixture
def cub(store, tmp_path):
    source_class = publish_cub(store)
    return lambda **more: source_class(
        "cub200", 32, HALF, HALF, data_dir=str(tmp_path / "data"), mirror=str(store), **more
    )


def reds(images):
    return [round(value / 10) * 10 for value in images[:, 0].float().mean((1, 2)).tolist()]


def test_cub_has_its_official_split(cub, tmp_path):
    source: DataSource = cub()
    train, test = source.train(), source.test()
    assert train.classes == test.classes == ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [0, 1]
    images = train.read([2, 0, 1])
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert reds(images) == [160, 60, 110]
    assert reds(test.read([0, 1])) == [10, 210]
    assert source.facts() == {}
    data = tmp_path / "data" / "CUB_200_2011"
    assert not (data / "README").exists()
    assert not (data / "parts").exists()


def test_an_extracted_archive_may_be_removed(cub, store, tmp_path):
    cub().prepare()
    (tmp_path / "data" / "CUB_200_2011.tgz").unlink()
    (store / "CUB_200_2011.tgz").unlink()
    assert cub().train().labels.tolist() == [0, 1, 1]


def test_an_extraction_that_was_interrupted_is_done_again(cub, tmp_path, monkeypatch):
    """What is half there has no checksum of its own that could tell."""
    copied = []

    def copy(source, target):
        if len(copied) == 6:
            raise KeyboardInterrupt
        copied.append(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read()[:-20] if target.suffix == ".jpg" else source.read())

    with monkeypatch.context() as patch:
        patch.setattr("chimeramix.data.download._copy", copy)
        with pytest.raises(KeyboardInterrupt):
            cub().prepare()
    assert (tmp_path / "data" / CUB200.folders[0]).is_dir()
    assert reds(cub().train().read([0, 1, 2])) == [60, 110, 160]


@pytest.mark.parametrize("folder", ["images", "images.txt"])
def test_what_was_deleted_is_extracted_again(cub, tmp_path, folder):
    cub().prepare()
    path = tmp_path / "data" / "CUB_200_2011" / folder
    path.rename(path.with_name("away"))
    assert reds(cub().train().read([0])) == [60]


def test_lists_that_do_not_fit_are_an_error(cub, tmp_path):
    cub().prepare()
    (tmp_path / "data" / "CUB_200_2011" / "classes.txt").write_text("1 cat\n")
    with pytest.raises(UserError, match=r"images\.txt and its neighbours are not the published files \('2'\): remove"):
        cub().train()


def test_a_missing_file_is_found(store, tmp_path, monkeypatch):
    """Other images would be drawn otherwise, under the same name of the data."""
    published = publish_tiny(store)
    published.sizes = (3, 1)
    monkeypatch.setattr(image_archive, "_TINY_IMAGENET", published.md5)
    source = published("tiny", 64, HALF, HALF, data_dir=str(tmp_path / "data"), mirror=str(store), workers=0)
    assert len(source.train().labels) == 4
    (tmp_path / "data/tiny-imagenet-200/train/n01443537/images/n01443537_1.JPEG").unlink()
    with pytest.raises(UserError, match=r"n01443537 has 2 images, not 3.*: remove them"):
        source.train()


def test_tiny_imagenet_is_tested_on_its_validation_images(store, tmp_path):
    source_class = publish_tiny(store)
    source = source_class("tiny", 64, HALF, HALF, data_dir=str(tmp_path / "data"), mirror=str(store), workers=0)
    train, test = source.train(), source.test()
    assert train.classes == test.classes == ("n01443537", "n02124075")
    assert train.labels.tolist() == [0, 0, 0, 1]
    assert test.labels.tolist() == [0, 1]
    # _0, _1, _10 of the first class: in the order of torchvision's ImageFolder
    assert train.read([0, 1, 2, 3]).float().mean((2, 3)).round().tolist() == pytest.approx(
        np.array([[0, 200, 0], [90, 90, 90], [0, 0, 200], [200, 0, 0]]), abs=2
    )
    assert reds(test.read([0, 1])) == [90, 200]
    assert not (tmp_path / "data" / "tiny-imagenet-200" / "test").exists()
    assert TinyImageNet("tiny", 64, HALF, HALF).class_sizes() == (500,) * 200


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (120, 120)])
def test_a_larger_scale_is_resize_and_centre_crop(tmp_path, size):
    """As recipes for ImageNet have it: torchvision's Resize(40) and CenterCrop(32)."""
    image = Image.effect_noise(size, 80).convert("RGB")
    image.save(tmp_path / "noise.png")
    found = Reading(32, "crop", 40)(tmp_path / "noise.png")
    expected = tv.center_crop(tv.resize(tv.pil_to_tensor(image), [40], antialias=True), [32, 32])
    assert (found.int() - expected.int()).abs().max() <= 1


def test_a_scale_below_the_size_is_refused():
    with pytest.raises(ValueError, match=r"dataset\.resize_to must be at least dataset\.image_size=64, got 63"):
        CUB200("cub200", 64, HALF, HALF, resize_to=63)
