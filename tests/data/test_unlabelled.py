"""Images that a method uses without their labels: which they are, and that their labels stay away."""

from dataclasses import replace

import pytest
import torch

from chimeramix.data.source import ImagesInMemory
from chimeramix.data.subset import TrainingImages
from chimeramix.errors import UserError
from chimeramix.types import DataSource, Subset

CLASSES = ["a", "b", "c", "d"]


class Numbered:
    """40 training images, of which each pixel of image i is i, and 5 test images from 200 on (a `DataSource`)."""

    image_size = 2
    mean = std = (0.5, 0.5, 0.5)

    def prepare(self) -> None: ...

    def facts(self) -> dict[str, str]:
        return {}

    def train(self) -> ImagesInMemory:
        return self._part(torch.arange(40))

    def test(self) -> ImagesInMemory:
        return self._part(torch.arange(200, 205))

    def _part(self, numbers: torch.Tensor) -> ImagesInMemory:
        images = numbers.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
        return ImagesInMemory(CLASSES, numbers % 4, images, 2)


SOURCE: DataSource = Numbered()


def labelled(split_seed: int = 0) -> TrainingImages:
    """Two of each class."""
    return TrainingImages.draw(SOURCE, 2, split_seed)


def numbers(subset: Subset) -> list[int]:
    return [int(number) for number in subset.images[:, 0, 0, 0]]


def unlabelled(count: int, split_seed: int = 0, transductive: bool = False) -> Subset:
    return labelled(split_seed).unlabelled(2, count, transductive, "procedure")


@pytest.mark.parametrize("split_seed", range(5))
def test_they_are_not_the_labelled_ones(split_seed: int) -> None:
    """All 32 that are left are exactly the others; fewer are some of these, each once."""
    others = set(range(40)) - set(labelled(split_seed).indices)
    assert sorted(numbers(unlabelled(32, split_seed))) == sorted(others)
    some = numbers(unlabelled(10, split_seed))
    assert len(set(some)) == 10
    assert set(some) < others


def test_the_split_seed_draws_them() -> None:
    """Not only because other images are left: from one labelled subset, too."""
    data = labelled()
    draws = [numbers(replace(data, split_seed=seed).unlabelled(2, 10, False, "procedure")) for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert len({frozenset(draw) for draw in draws}) == 3


def test_none_of_them_has_a_label() -> None:
    assert set(unlabelled(32).labels.tolist()) == {-1}
    assert set(unlabelled(0, transductive=True).labels.tolist()) == {-1}


def test_the_test_images_come_only_when_asked_for() -> None:
    assert max(numbers(unlabelled(32))) < 40
    assert numbers(unlabelled(0, transductive=True)) == list(range(200, 205))
    assert numbers(unlabelled(3, transductive=True))[3:] == list(range(200, 205))


def test_behind_a_generators_subset() -> None:
    """First the labelled images with their labels, then the others without."""
    data = labelled()
    subset = data.subset(2) + data.unlabelled(2, 10, False, "generator")
    assert numbers(subset) == data.indices + numbers(unlabelled(10))
    assert subset.labels.tolist() == [index % 4 for index in data.indices] + [-1] * 10


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"procedure\.unlabelled=33: only 32 training images are not"):
        unlabelled(33)
