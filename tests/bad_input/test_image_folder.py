"""Folders of images that are not in order."""

import pytest

from tests.bad_input.words import TINY, image_folder


def _remove_class(root):
    for path in (root / "test" / "dog").iterdir():
        path.unlink()
    (root / "test" / "dog").rmdir()


def _empty_class(root):
    for path in (root / "train" / "cat").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(_empty_class, ("train/cat has no images",), id="empty class"),
        pytest.param(_remove_class, ("classes that", "lacks: dog"), id="class missing"),
        pytest.param(
            lambda root: (root / "train/cat/0.png").write_bytes(b"no image"),
            ("train/cat/0.png can't be read",),
            id="file",
        ),
        pytest.param(
            lambda root: (root / "test/dog/1.png").write_bytes((root / "test/dog/1.png").read_bytes()[:40]),
            ("test/dog/1.png can't be read",),
            id="truncated",
        ),
        pytest.param(lambda root: (root / "train/cat/a.txt").touch(), ("a.txt is not an image file",), id="other file"),
        pytest.param(lambda root: (root / "train").rename(root / "trian"), ("train is missing",), id="part missing"),
    ],
)
def test_a_folder_of_images_that_is_not_in_order(spoil, expected, refusal, tmp_path):
    root = image_folder(tmp_path / "images")
    spoil(root)
    line = refusal("classifier", "+dataset=own/image_folder", f"dataset.root={root}", "max_labels_per_class=2")
    for part in expected:
        assert part in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "dataset.root is not set: add dataset.root=DIR"),
        (("dataset.root=absent",), "dataset.root=absent is not a folder"),
    ],
)
def test_a_folder_of_images_that_is_missing(words, expected, refusal):
    assert expected in refusal("classifier", "+dataset=own/image_folder", *words)


@pytest.mark.parametrize("name", [r"$\frac$", "日本", "x" * 200])
def test_class_names_that_are_unusual_but_in_order(name, command, tmp_path):
    root = image_folder(tmp_path / "images")
    for part in ("train", "test"):
        (root / part / "cat").rename(root / part / name)
    words = ("+dataset=own/image_folder", f"dataset.root={root}", "dataset.image_size=16", "batch_size=2", *TINY)
    status, _, lines = command("classifier", *words, "model=wideresnet_10_2", "model.width=1", "machine.workers=1")
    assert (status, len(lines)) == (0, 3), lines
