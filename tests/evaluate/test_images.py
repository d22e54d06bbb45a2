"""Which real images an evaluation compares with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from PIL import Image

from chimeramix.config.schema import Config
from chimeramix.data.image_file import Reading
from chimeramix.data.image_folder import ImageFolder
from chimeramix.data.subset import TrainingImages
from chimeramix.evaluate.images import NoneLeft, images_in, unseen_positions


def training(labels: list[int], indices: list[int]) -> TrainingImages:
    """A run that learns from these of a part's images."""
    part: Any = SimpleNamespace(labels=torch.tensor(labels), classes=tuple("abcdefghij"[: max(labels) + 1]))
    source: Any = SimpleNamespace()
    return TrainingImages(source, part, indices, 0, part.labels[indices])


@pytest.mark.parametrize("count", [1, 7, 25])
def test_numbers_that_the_classes_do_not_divide(count: int) -> None:
    """Of ten classes of two training images each, some get one real image more than others."""
    data = training(
        [label for label in range(10) for _ in range(9)], [9 * label + n for label in range(10) for n in (0, 5)]
    )
    positions = unseen_positions(data, Config(), count, seed=0)
    assert len({*positions} - {*data.indices}) == count
    counts = data.part.labels[positions].bincount(minlength=10)
    assert counts.max() - counts.min() == 1


def test_classes_keep_their_shares() -> None:
    """Of 3, 2 and 1 training images; at most as many as the last class, which has two more, allows."""
    data = training([0] * 9 + [1] * 9 + [2] * 3, [0, 1, 2, 9, 10, 18])
    for count, expected in ((6, [3, 2, 1]), (4, [2, 1, 1]), (20, [6, 4, 2])):
        chosen = unseen_positions(data, Config(), count, seed=0)
        assert data.part.labels[chosen].bincount().tolist() == expected


def test_a_class_of_which_all_images_were_seen() -> None:
    with pytest.raises(NoneLeft, match="all training images of a class"):
        unseen_positions(training([0] * 9 + [1], [0, 1, 9]), Config(), 5, seed=0)


@pytest.mark.parametrize(("resize", "resize_to"), [("crop", None), ("squash", None), ("squash", 24)])
def test_a_folders_images_are_made_squares_as_the_data_sets_are(
    resize: Literal["crop", "squash"], resize_to: int | None, tmp_path: Path
) -> None:
    Image.linear_gradient("L").rotate(90).resize((64, 16)).save(tmp_path / "wide.png")
    source = ImageFolder(str(tmp_path), "own", 16, [0.5] * 3, [0.5] * 3, resize=resize, resize_to=resize_to)
    expected = Reading(16, resize, resize_to)(tmp_path / "wide.png")
    assert (images_in([tmp_path], source, 1, seed=0)[0] == expected).all()
