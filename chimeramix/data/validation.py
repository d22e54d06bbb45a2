"""Which labelled images are held out, so that choices need not be made on the test set.

Rules that cut what was drawn into the images to learn from and those that a network is evaluated on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from chimeramix.errors import UserError
from chimeramix.streams import derive_seed
from chimeramix.terminal import counted
from chimeramix.types import LabelledImages


class Cut(Protocol):
    """A rule."""

    def __call__(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        """Positions in the data set's training part: those to learn from and those held out, without a common one.

        Args:
            part: the whole training part.
            drawn: positions in it of the subset that was drawn.

        Raises:
            UserError: where the subset or the training part has too few images.
        """
        ...


@dataclass(frozen=True)
class Fold:
    """Fold `fold` of `folds` of the drawn subset is held out; see `folds_of`."""

    fold: int
    folds: int
    seed: int

    def __call__(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        labels = part.labels[drawn]
        check_folds(self.folds, *_smallest(labels, part.classes))
        dealt = folds_of(labels, self.folds, self.seed).tolist()
        return (
            [position for position, fold in zip(drawn, dealt, strict=True) if fold != self.fold],
            [position for position, fold in zip(drawn, dealt, strict=True) if fold == self.fold],
        )


@dataclass(frozen=True)
class Extra:
    """`per_class` images of each class from outside of the drawn subset, which stays whole.

    These are more labels than a benchmark of few images allows.
    """

    per_class: int
    seed: int

    def __call__(self, part: LabelledImages, drawn: list[int]) -> tuple[list[int], list[int]]:
        others = np.setdiff1d(np.arange(len(part.labels)), drawn)
        labels = part.labels[others]
        check_extra(self.per_class, *_smallest(labels, part.classes))
        rng = np.random.default_rng(derive_seed(self.seed, "validation"))
        held_out: list[int] = []
        for label in range(len(part.classes)):
            # Shuffled in full, so that fewer images of one seed lie within more.
            held_out += rng.permutation(others[labels.numpy() == label])[: self.per_class].tolist()
        return drawn, held_out


def folds_of(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Deals images out to folds, stratified: folds differ by at most one image, in all and within each class.

    Each class is shuffled and dealt out like cards, where the class before it ended. scikit-learn's `StratifiedKFold`
    has the same property; its folds depend on its release.

    Args:
        labels: `[N]` int64.

    Returns:
        `[N]` int64 in 0 .. folds - 1, by which each image is held out once.
    """
    rng = np.random.default_rng(derive_seed(seed, "folds"))
    order = np.concatenate([rng.permutation(np.flatnonzero(labels.numpy() == label)) for label in np.unique(labels)])
    dealt = labels.new_empty(len(labels))
    dealt[order] = labels.new_tensor(np.arange(len(labels)) % folds)
    return dealt


def check_folds(folds: int, smallest: int, which: str) -> None:
    """Raises `UserError` where a class has fewer images than there are folds, so that a fold would lack the class.

    Args:
        smallest: images that were drawn of the class that has the fewest.
        which: that class, for the message.
    """
    if smallest < folds:
        have = f"{which} has {counted(smallest, 'image')} in the drawn subset"
        remedy = f"set validation.folds={smallest} or less" if smallest > 1 else "draw more images"
        raise UserError(f"validation.folds={folds}: {have}, and each fold needs one: {remedy}, or use validation.extra")


def check_extra(per_class: int, smallest: int, which: str) -> None:
    """Raises `UserError` where fewer images of a class are left outside of the subset than are asked for; arguments as
    for `check_folds`."""
    if smallest < per_class:
        left = f"{which} has only {counted(smallest, 'training image')} outside of the drawn subset"
        remedy = f"set validation.extra={smallest} or less" if smallest else "draw fewer images"
        raise UserError(f"validation.extra={per_class}: {left}: {remedy}, or use validation.fold")


def _smallest(labels: Tensor, classes: Sequence[str]) -> tuple[int, str]:
    """The fewest images of a class, and that class."""
    sizes = labels.bincount(minlength=len(classes))
    return int(sizes.min()), f"class {classes[int(sizes.argmin())]}"
