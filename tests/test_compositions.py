"""The picture of what generators for several numbers of images compose."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.runs.test_experiments import run
from tools import front_page
from tools.compositions import columns_of, main


def test_a_picture_of_two_generators(tmp_path: Path) -> None:
    """Where a mask gives the whole share to one image, the picture's masks have its grey."""
    folders = [run("generator", "several/grid", tmp_path / str(count), f"mask.images={count}") for count in (2, 3)]
    columns = columns_of(folders)
    titles = [f"{what}, {count} images" for count in (2, 3) for what in ("mask", "composition")]
    assert list(columns) == ["image 1", "image 2", "image 3", *titles]
    assert all(images.shape == columns["image 1"].shape for images in columns.values())
    assert all(images.min() >= -1e-6 and images.max() <= 1 + 1e-6 for images in columns.values())
    assert columns["mask, 2 images"].unique().tolist() == [0, 1]
    assert columns["mask, 3 images"].unique().tolist() == [0, 0.5, 1]
    assert not torch.equal(columns["image 1"], columns["image 3"])
    main(str(tmp_path / "picture.png"), *map(str, folders))
    assert (tmp_path / "picture.png").stat().st_size > 10_000

    front_page.main(str(tmp_path / "front.png"), str(folders[0]))
    with Image.open(tmp_path / "front.png") as picture:
        assert picture.width > 2 * picture.height


def test_other_images_are_refused(tmp_path: Path) -> None:
    folders = [run("generator", "several/grid", tmp_path / str(seed), f"split_seed={seed}") for seed in (0, 1)]
    with pytest.raises(ValueError, match="was trained on other images"):
        columns_of(folders)
