"""Random resized crops of a folder's rectangular images, in whole runs."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from chimeramix.cli import main
from chimeramix.data import CUB200, ImageFolder
from chimeramix.data.subset import TrainingImages
from chimeramix.data.whole_images import whole_subset
from chimeramix.errors import UserError
from chimeramix.runs.train import train
from tests.composing import composed
from tests.data.test_image_archive import publish_cub, publish_tiny
from tests.runs.tiny import folder_of

HALF = [0.5, 0.5, 0.5]
SIZES = [(40, 20), (20, 40), (24, 24)]  # width, height


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three images each: dark ones and light ones, whose left half is red."""
    for part in ("train", "test"):
        for name, value in (("dark", 40), ("light", 200)):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number, (width, height) in enumerate(SIZES):
                image = Image.new("RGB", (width, height), (0, value, value))
                image.paste((value, 0, 0), (0, 0, width // 2, height))
                image.save(folder / f"{number}.png")
    return tmp_path / "images"


def words(root: Path, *more: str) -> list[str]:
    small = ["model.width=1", "epochs=2", "batch_size=4", "epoch_labels_per_class=3", "machine.device=cpu"]
    data = ["+dataset=own/image_folder", f"dataset.root={root}", "dataset.image_size=16", "max_labels_per_class=null"]
    places = [f"machine.runs_dir={root.parent / 'runs'}", f"machine.data_dir={root.parent / 'data'}"]
    return [*data, *small, *places, "model=wideresnet_10_2", "augment=random_resized_crop", *more]


def test_whole_images_are_held_uncut(root: Path) -> None:
    data = TrainingImages.draw(ImageFolder(str(root), "own", 16, HALF, HALF), None, 0)
    checked: list[int] = []
    subset = whole_subset(data, 16, 512, checked.append)
    assert subset.images.shape == (6, 3, 40, 40)
    assert checked == [subset.images.numel()]
    assert subset.sizes is not None
    assert sorted(subset.sizes.tolist()) == sorted([[height, width] for width, height in SIZES] * 2)
    for image, (height, width), label in zip(subset.images, subset.sizes.tolist(), subset.labels.tolist(), strict=True):
        value = (40, 200)[label]
        red = torch.arange(width) < width // 2
        assert torch.equal(image[0, :height, :width], (value * red).expand(height, -1).byte())
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()


def test_squares_are_held_as_they_are_trained_on(tmp_path: Path) -> None:
    """Tiny-ImageNet's need no second look at 100,000 files, and superpixels fit them."""
    source = publish_tiny(tmp_path)("tiny", 64, HALF, HALF, data_dir=str(tmp_path / "data"), mirror=str(tmp_path))
    data = TrainingImages.draw(source, 1, 0)
    subset = whole_subset(data, 64, 512, lambda count: None)
    assert subset.sizes is None
    assert torch.equal(subset.images, data.images)


def test_large_images_are_held_at_the_longest_side(root: Path) -> None:
    data = TrainingImages.draw(ImageFolder(str(root), "own", 8, HALF, HALF), None, 0)
    sizes = whole_subset(data, 8, 20, lambda count: None).sizes
    assert sizes is not None
    assert sorted(sizes.tolist()) == sorted([[10, 20], [20, 10], [20, 20]] * 2)


def test_a_photograph_on_its_side_has_its_sizes_upright(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (40, 20), (9, 9, 9)).save(root / "train" / "dark" / "0.jpg", exif=exif)
    part = ImageFolder(str(root), "own", 8, HALF, HALF).train()
    sizes = part.whole_sizes([0], 512)
    assert sizes.tolist() == [[40, 20]]
    assert part.read_whole([0], sizes).shape == (1, 3, 40, 20)


def test_a_run_trains_on_crops_of_whole_images(root: Path) -> None:
    train(composed("classifier", words(root, "mixer=cutmix")))
    result = json.loads((folder_of("classifier", root.parent / "runs") / "result.json").read_text())
    assert result["augment"] == "random_resized_crop"
    assert (result["steps"], result["num_train"]) == (4, 6)


def test_cub_from_its_archive_to_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared by the command, then trained without the mirror."""
    monkeypatch.setattr(CUB200, "md5", publish_cub(tmp_path).md5)
    places = [f"machine.data_dir={tmp_path / 'data'}", f"machine.mirror={tmp_path}"]
    assert main(["prepare", "more/cub200", *places]) == 0
    (tmp_path / "CUB_200_2011.tgz").unlink()
    small = ["model=wideresnet_10_2", "model.width=1", "epochs=1", "epoch_labels_per_class=1", "machine.device=cpu"]
    sizes = ["dataset.image_size=32", "dataset.resize_to=40", "max_labels_per_class=1"]
    runs = f"machine.runs_dir={tmp_path / 'runs'}"
    train(composed("classifier", ["+dataset=more/cub200", *small, *sizes, *places, runs]))
    result = json.loads((folder_of("classifier", tmp_path / "runs") / "result.json").read_text())
    assert (result["dataset"], result["augment"]) == ("cub200", "random_resized_crop")
    assert (result["num_train"], result["num_test"], result["steps"]) == (2, 2, 1)


def test_superpixels_need_squares(root: Path) -> None:
    settings = composed("classifier", words(root, "mixer=direct", "mask=segments"))
    with pytest.raises(UserError, match="augment: superpixels are those of images that are cut to squares"):
        train(settings)


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimeramix.runs.tryout._memory", lambda machine: 6 * 3 * 16 * 16)
    monkeypatch.setattr("chimeramix.data.image_folder.read_whole", None)
    monkeypatch.setattr("chimeramix.runs.assembly.check_images", lambda *arguments: None)
    with pytest.raises(UserError, match=r"whole images at augment\.longest_side: would take more than"):
        train(composed("classifier", words(root)))


def test_a_crop_of_another_size_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="augment: makes images of 8 x 8 pixels, but networks take 16 a side"):
        train(composed("classifier", words(root, "augment.size=8")))
