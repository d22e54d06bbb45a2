import os
import shutil
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from chimeramix.data import file_digests as digests
from chimeramix.data.image_folder import ImageFolder
from chimeramix.errors import UserError
from chimeramix.types import DataSource

HALF = [0.5, 0.5, 0.5]
RED, GREEN, BLUE = (250, 10, 20), (10, 250, 20), (10, 20, 250)


def folder(root, **settings):
    return ImageFolder(
        **({"root": root and str(root), "name": "own", "image_size": 16, "mean": HALF, "std": HALF} | settings)
    )


def save(path, colour=RED, size=(24, 16), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode, palette=Image.Palette.ADAPTIVE).save(path, **options)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "images"
    save(root / "train" / "cat" / "b.png", RED)
    save(root / "train" / "cat" / "a.png", GREEN, size=(16, 40))
    save(root / "train" / "ant" / "z.bmp", BLUE, size=(5, 7))
    save(root / "test" / "cat" / "a.png")
    save(root / "test" / "ant" / "a.png")
    return root


def colour_of(image):
    return tuple(image[:, 8, 8].tolist())


def test_classes_and_images_come_in_the_order_of_their_names(root):
    source: DataSource = folder(root)
    train = source.train()
    assert train.classes == ("ant", "cat")
    assert train.labels.tolist() == [0, 1, 1]
    assert train.labels.dtype == torch.int64
    images = train.read([2, 0, 1])
    assert images.shape == (3, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert [colour_of(image) for image in images] == [RED, BLUE, GREEN]
    assert source.test().labels.tolist() == [0, 1]
    assert train.read([]).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_any_number_of_threads_gives_the_same(root, workers):
    images = folder(root, workers=workers).train().read([2, 1, 0, 2])
    assert [colour_of(image) for image in images] == [RED, GREEN, BLUE, RED]


def test_only_images_asked_for_are_decoded(root):
    (root / "train" / "cat" / "c.png").write_bytes(b"damaged")
    source = folder(root)
    source.prepare()
    assert source.train().labels.tolist() == [0, 1, 1, 1]
    source.train().read([0, 1, 2])
    with pytest.raises(UserError, match=r"c\.png can't be read as an image"):
        source.train().read([3])


@pytest.mark.parametrize(("mode", "colour"), [("L", (90, 90, 90)), ("P", RED), ("RGBA", RED), ("1", (255, 255, 255))])
def test_other_modes_become_rgb(root, mode, colour):
    save(root / "train" / "ant" / "z.png", colour, mode=mode)
    image = folder(root).train().read([1])[0]
    assert image.shape == (3, 16, 16)
    assert np.abs(np.subtract(colour_of(image), colour)).max() <= 1


def test_a_palette_with_transparency_becomes_rgb(root):
    save(root / "train" / "ant" / "z.png", RED, mode="P", transparency=bytes([0, 255]))
    assert folder(root).train().read([1])[0].shape == (3, 16, 16)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "gif", "webp", "ppm", "pgm", "tif", "tiff"])
def test_reads_the_usual_kinds(root, suffix):
    mode = "L" if suffix == "pgm" else "RGB"
    save(root / "train" / "ant" / f"z2.{suffix}", (200, 200, 200), mode=mode)
    assert np.abs(np.subtract(colour_of(folder(root).train().read([1])[0]), 200)).max() <= 3


def test_a_moving_gif_gives_its_first_frame(root):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
    frames[0].save(root / "train" / "ant" / "z.gif", save_all=True, append_images=frames[1:])
    assert np.abs(np.subtract(colour_of(folder(root).train().read([1])[0]), RED)).max() <= 8


def test_crop_keeps_the_middle_and_squash_everything(root):
    wide = np.zeros((16, 48, 3), dtype=np.uint8)
    wide[:, :16], wide[:, 16:32], wide[:, 32:] = RED, GREEN, BLUE
    Image.fromarray(wide).save(root / "train" / "ant" / "zz.png")

    cropped = folder(root, resize="crop").train().read([1])[0]
    squashed = folder(root, resize="squash").train().read([1])[0]

    assert (cropped == torch.tensor(GREEN, dtype=torch.uint8).view(3, 1, 1)).all()
    assert tuple(squashed[:, 8, 1].tolist()) == RED
    assert tuple(squashed[:, 8, 14].tolist()) == BLUE


def test_exif_orientation_is_applied(root):
    upright = np.zeros((16, 16, 3), dtype=np.uint8)
    upright[:8] = RED
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(upright[::-1, ::-1].copy()).save(root / "train" / "ant" / "zz.png", exif=exif)
    image = folder(root).train().read([1])[0]
    assert tuple(image[:, 2, 8].tolist()) == RED
    assert image[:, 14, 8].tolist() == [0, 0, 0]


@pytest.mark.parametrize("pixels", [np.zeros((8, 8), np.uint16), np.zeros((8, 8), np.float32)])
def test_16_bits_and_floats_are_refused(root, pixels):
    Image.fromarray(pixels).save(root / "train" / "ant" / "zz.tif")
    with pytest.raises(UserError, match=r"zz\.tif has pixels of mode .* convert it"):
        folder(root).train().read([0, 1])


def test_16_bit_colours_are_refused(root):
    """PIL would cut them to 8 bits in silence, and writes none, so that the file is made by hand."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)  # width, height, bits, RGB
    rows = b"".join(b"\0" + bytes(8 * 6) for _ in range(8))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (root / "train" / "ant" / "zz.png").write_bytes(png)
    with pytest.raises(UserError, match=r"zz\.png has 16 bits a channel: convert it"):
        folder(root).train().read([0, 1])


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_truncated_file_is_named(root, suffix):
    path = root / "train" / "ant" / f"zz.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"zz\.{suffix} can't be read as an image") as error:
        folder(root).train().read([0, 1])
    assert "\n" not in str(error.value)


def test_clutter_is_ignored(root):
    for name in (".hidden.txt", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (root / "train" / name).touch()
        (root / "train" / "cat" / name).touch()
    (root / "train" / ".cache").mkdir()
    assert folder(root).train().labels.tolist() == [0, 1, 1]


def test_what_is_no_image_is_named(root):
    (root / "train" / "cat" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"cat/notes\.txt is not an image file"):
        folder(root).prepare()


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(os.mkfifo, id="pipe"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
        pytest.param(lambda path: path.mkdir(), id="folder"),
    ],
)
def test_what_is_no_file_is_named(put, root):
    """A pipe would be waited for, and a device never end."""
    put(root / "train" / "cat" / "zz.png")
    with pytest.raises(UserError, match=r"cat/zz\.png is no file"):
        folder(root).prepare()


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_class_names_can_be_written(name, root):
    for part in ("train", "test"):
        os.mkdir(os.path.join(os.fsencode(root), part.encode(), name))
        save(root / part / os.fsdecode(name) / "a.png")
    with pytest.raises(UserError, match=r"a class needs a printable UTF-8 name, so rename the folder") as error:
        folder(root).prepare()
    assert str(error.value).isprintable()


def test_one_class_is_not_enough(root):
    for part in ("train", "test"):
        shutil.rmtree(root / part / "cat")
    with pytest.raises(UserError, match=r"images/train has a single class, ant: a classifier needs two"):
        folder(root).prepare()


def test_a_file_outside_the_class_folders_is_named(root):
    save(root / "test" / "lost.png")
    with pytest.raises(UserError, match=r"lost\.png is not in a class folder"):
        folder(root).prepare()


def test_missing_and_empty_folders_are_named(root, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.root is not set: add dataset\.root=DIR"):
        folder(None).prepare()
    with pytest.raises(UserError, match=r"dataset\.root=.*nowhere is not a folder"):
        folder(tmp_path / "nowhere").prepare()
    (root / "train" / "empty").mkdir()
    with pytest.raises(UserError, match=r"train/empty has no images"):
        folder(root).prepare()
    shutil.rmtree(root / "test")
    (root / "train" / "empty").rmdir()
    with pytest.raises(UserError, match=r"images/test is missing"):
        folder(root).prepare()
    (root / "test").mkdir()
    with pytest.raises(UserError, match=r"images/test has no class folders"):
        folder(root).prepare()


@pytest.mark.parametrize(("has", "lacks"), [("train", "test"), ("test", "train")])
def test_classes_must_agree(root, has, lacks):
    save(root / has / "dog" / "a.png")
    with pytest.raises(UserError, match=rf"images/{has} has classes that .*images/{lacks} lacks: dog"):
        folder(root).prepare()


def test_facts_follow_the_content_and_not_the_place(root, tmp_path):
    facts = folder(root).facts()
    assert {key: facts[key] for key in ("classes", "num_train", "num_test")} == {
        "classes": ["ant", "cat"],
        "num_train": 3,
        "num_test": 2,
    }
    copy = shutil.copytree(root, tmp_path / "elsewhere")
    assert folder(copy).facts() == facts
    with (copy / "test" / "ant" / "a.png").open("ab") as file:
        file.write(b"\0")
    assert folder(copy).facts()["fingerprint"] != facts["fingerprint"]
    (root / "train" / "cat" / "b.png").rename(root / "train" / "cat" / "c.png")
    assert folder(root).facts()["fingerprint"] != facts["fingerprint"]


def with_other_pixels(path):
    """Changes a byte, and neither the file's size nor the time of its last change that it shows."""
    time.sleep(0.02)  # time stamps are coarse
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("settled", [0, 2_000_000_000])
def test_facts_follow_the_pixels_of_a_file_of_the_same_size(root, tmp_path, monkeypatch, settled):
    monkeypatch.setattr(digests, "_SETTLED", settled)
    facts = folder(root, data_dir=tmp_path / "data").facts()
    with_other_pixels(root / "train" / "ant" / "z.bmp")
    other = folder(root, data_dir=tmp_path / "data").facts()
    assert other.pop("content") != facts.pop("content")
    assert other == facts


def test_files_are_read_once(root, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", 0)
    facts = folder(root, data_dir=tmp_path / "data").facts()
    read = []
    digest = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda path: read.append(path) or digest(path))
    assert folder(root, data_dir=tmp_path / "data").facts() == facts
    assert read == []
    with_other_pixels(root / "train" / "ant" / "z.bmp")
    folder(root, data_dir=tmp_path / "data").facts()
    assert read == [root / "train" / "ant" / "z.bmp"]


@pytest.mark.parametrize("content", ["", "[1]", '{"train/cat/a.png": 5}', '{"train/cat/a.png": [1]}'])
def test_damaged_or_forbidden_caches_cost_time_only(root, tmp_path, content, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", 0)
    facts = folder(root, data_dir=tmp_path / "data").facts()
    (cache,) = (tmp_path / "data" / "digests").iterdir()
    cache.write_text(content)
    assert folder(root, data_dir=tmp_path / "data").facts() == facts
    (tmp_path / "file").touch()
    assert folder(root, data_dir=tmp_path / "file").facts() == facts


def test_refuses_an_unknown_way_of_resizing(root):
    with pytest.raises(ValueError, match="crop or squash, got stretch"):
        folder(root, resize="stretch")
