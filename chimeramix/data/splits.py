"""Published splits: subsets of a training part that others fixed, so that figures can be compared."""

from typing import Any, Protocol

import numpy as np

from chimeramix.data.cifar import CIFAR10
from chimeramix.data.stl10 import STL10
from chimeramix.errors import UserError
from chimeramix.types import DataSource, LabelledImages


class Split(Protocol):
    """A published split.

    Attributes:
        per_class: images of each class.
    """

    per_class: int

    def choose(self, source: DataSource, part: LabelledImages) -> list[int]:
        """Positions in the training part. Raises `UserError` for a data set that the split is not of."""
        ...

    def cut(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        """The split's own cut into training and validation images (`chimeramix.data.validation.Cut`). Raises
        `UserError` where it has none."""
        ...


class GEM:
    """The three splits of ciFAIR-10 and ciFAIR-100 of the GEM benchmark (Brigato et al. 2022, IEEE Access 10:49233).

    Split i has, of each class in data set order, the images 50 i to 50 i + 49. The first 30 of them are for training
    and the last 20 for validation; the final training is on all 50. CIFAR has the same training images.

    Args:
        number: 0, 1 or 2.

    Raises:
        ValueError: for another number.
    """

    per_class = 50
    _for_training = 30

    def __init__(self, number: int) -> None:
        _check_number(number, 3)
        self.number = number

    def choose(self, source: DataSource, part: LabelledImages) -> list[int]:
        if not isinstance(source, CIFAR10):  # of which CIFAR-100 and both ciFAIR are kinds
            raise UserError("split=gem: these splits are of cifair10 and cifair100; use split=drawn")
        first = self.per_class * self.number
        members = [np.flatnonzero(part.labels.numpy() == label) for label in range(len(part.classes))]
        return [position for each in members for position in each[first : first + self.per_class].tolist()]

    def cut(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        for_training = [position for place, position in enumerate(drawn) if self._trains(place)]
        return for_training, [position for place, position in enumerate(drawn) if not self._trains(place)]

    def _trains(self, place: int) -> bool:
        return place % self.per_class < self._for_training


class STL10Folds:
    """The ten official folds of STL-10, 1,000 training images each (Coates, Ng & Lee 2011).

    Args:
        number: 0 to 9.

    Raises:
        ValueError: for another number.
    """

    per_class = 100

    def __init__(self, number: int) -> None:
        _check_number(number, 10)
        self.number = number

    def choose(self, source: DataSource, part: LabelledImages) -> list[int]:
        if not isinstance(source, STL10):
            raise UserError("split=stl10_folds: these folds are of stl10; use split=drawn")
        return source.folds()[self.number]

    def cut(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        raise UserError(
            "validation.published=true: STL-10's folds have no validation part; hold out a part with validation.fold"
        )


def _check_number(number: Any, count: int) -> None:
    if not 0 <= number < count:
        raise ValueError(f"split.number={number}: must be 0 to {count - 1} (by default it is split_seed)")
