"""Which images training may use: n per class, drawn by the official rule of ChimeraMix (Reinders et al. 2022).

NumPy's generator draws, and not torch's as everywhere else, because this gives the very subsets of the official code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chimeramix.data.resize import resize
from chimeramix.data.splits import Split
from chimeramix.data.validation import Cut, check_extra
from chimeramix.errors import UserError
from chimeramix.streams import derive_seed
from chimeramix.terminal import counted
from chimeramix.types import DataSource, LabelledImages, Subset


@dataclass(frozen=True)
class EvaluationImages:
    """The labelled images on which a classifier is evaluated.

    Attributes:
        part: `test`, or `validation` for images that were held out.
        positions: of the images in the test part, or of the held-out ones in the training part.
        images: `[M, 3, S, S]` uint8 on the CPU.
        labels: `[M]` int64.
    """

    part: str
    positions: Sequence[int]
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class TrainingImages:
    """The labelled images that a run may learn from.

    Attributes:
        source: the data set.
        part: its whole training part.
        indices: positions in it of the images to learn from.
        split_seed: with which they were drawn.
        labels: `[N]` int64.
        held_out: positions of images that are there to evaluate on, instead of the test set; empty for none.
    """

    source: DataSource
    part: LabelledImages
    indices: list[int]
    split_seed: int
    labels: Tensor
    held_out: list[int] = field(default_factory=list)

    @classmethod
    def draw(
        cls,
        source: DataSource,
        samples_per_class: int | None,
        split_seed: int,
        split: Split | None = None,
        cut: Cut | None = None,
    ) -> "TrainingImages":
        """Draws the subset; its images are read on first use, those and no others.

        Args:
            split: a published one, which is taken as it is; None draws with `split_seed`.
            cut: which images are held out; None for none.

        Raises:
            UserError: see `draw_subset`, `Split` and `Cut`.
        """
        part = source.train()
        if split is None:
            drawn = draw_subset(part.labels, samples_per_class, split_seed, part.classes)
        else:
            check_split_size(samples_per_class, split.per_class)
            drawn = split.choose(source, part)
        indices, held_out = (drawn, []) if cut is None else cut(part, drawn)
        if cut is not None and not held_out:  # else it would be evaluated on the test set
            raise UserError("validation: no image is held out, so there is nothing to evaluate on; choose another cut")
        return cls(source, part, indices, split_seed, part.labels[indices], held_out)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.part.classes

    @property
    def smallest_class(self) -> int:
        """Images of the class that has the fewest."""
        return int(self.labels.bincount(minlength=len(self.classes)).min())

    def split(self) -> dict[str, Any]:
        """The content of `split.json`."""
        held_out = {"held_out": self.held_out, "held_out_labels": self.part.labels[self.held_out].tolist()}
        return {
            "split_seed": self.split_seed,
            "indices": self.indices,
            "labels": self.labels.tolist(),
            "classes": list(self.classes),
            **(held_out if self.held_out else {}),
        }

    @cached_property
    def images(self) -> Tensor:
        """`[N, 3, S, S]` uint8 on the CPU, in the order of the indices."""
        return self.part.read(self.indices)

    def subset(self, size: int) -> Subset:
        """The images at the side that a stage trains at."""
        return Subset(resize(self.images, size), self.labels, len(self.classes))

    def evaluation(self) -> EvaluationImages:
        """The held-out images, or where there are none the whole test set, which is not read otherwise."""
        if self.held_out:
            labels = self.part.labels[self.held_out]
            return EvaluationImages("validation", self.held_out, self.part.read(self.held_out), labels)
        test = self.source.test()
        positions = range(len(test.labels))
        return EvaluationImages("test", positions, test.read(positions), test.labels)

    def unlabelled(self, size: int, count: int, transductive: bool, group: str) -> Subset:
        """Images without labels (-1): `count` others of the training part, drawn with the seed of the split, and those
        that the classifier is evaluated on where `transductive`.

        Args:
            group: whose key `unlabelled` asks for them, for the message.

        Raises:
            UserError: where there are not so many.
        """
        images = [self.part.read([])]
        if count:
            images.append(self.part.read(self.unlabelled_positions(count, group)))
        if transductive:
            images.append(self.evaluation().images)
        together = resize(torch.cat(images), size)
        labels = torch.full((len(together),), -1, dtype=self.labels.dtype)
        return Subset(together, labels, len(self.classes))

    def unlabelled_positions(self, count: int, group: str) -> list[int]:
        """Positions in the training part of those `count` others; see `unlabelled`."""
        others = sorted(set(range(len(self.part.labels))) - set(self.indices) - set(self.held_out))
        _check_unlabelled(count, len(others), group)
        draw = torch.Generator().manual_seed(derive_seed(self.split_seed, "unlabelled"))
        chosen = torch.randperm(len(others), generator=draw)[:count].tolist()
        return [others[position] for position in chosen]


def draw_subset(labels: Tensor, samples_per_class: int | None, seed: int, classes: Sequence[str]) -> list[int]:
    """Draws a balanced subset: shuffle each class's images, take the first n, shuffle the result.

    A class is shuffled in full whatever n is, so the subsets of one seed are nested: 5 per class lie within 10.

    Args:
        labels: `[N]` int64 class numbers, in data set order.
        samples_per_class: n, or None for all images of every class.
        seed: 0 is a seed like any other.
        classes: Names of the K classes.

    Returns:
        Positions in `labels`, n * K of them (N for None), each at most once.

    Raises:
        UserError: n is below 1, or a class has fewer than n images.
    """
    rng = np.random.default_rng(seed)
    numbers = labels.numpy()
    counts = np.bincount(numbers, minlength=len(classes))
    smallest = int(counts.argmin())
    _check_labelled(samples_per_class, int(counts[smallest]), f"class {classes[smallest]}")
    chosen: list[int] = []
    for label in range(len(classes)):
        members = np.flatnonzero(numbers == label)
        rng.shuffle(members)
        chosen += members[:samples_per_class].tolist()
    rng.shuffle(chosen)
    return chosen


def check_split_size(samples_per_class: int | None, per_class: int) -> None:
    """Raises `UserError` for another number of images than a published split has of each class."""
    if samples_per_class != per_class:
        asked = "null" if samples_per_class is None else samples_per_class
        raise UserError(
            f"max_labels_per_class is {asked} but the published split has {per_class} images of each class: set "
            f"max_labels_per_class={per_class}, or draw with split=drawn"
        )


def check_counts(
    sizes: Sequence[int], samples_per_class: int | None, extra: int, unlabelled: Mapping[str, int], dataset: str
) -> None:
    """Checks before anything is read that a data set has the images that a run asks for.

    Args:
        sizes: training images of each class.
        extra: images of each class that are held out beside the subset.
        unlabelled: how many images without labels each group of the configuration asks for.
        dataset: its name, for the message.

    Raises:
        UserError: where there are not so many.
    """
    smallest = f"a class of {dataset}"
    _check_labelled(samples_per_class, min(sizes), smallest)
    labelled = sum(sizes if samples_per_class is None else [samples_per_class] * len(sizes))
    if extra:
        check_extra(extra, min(sizes) - (samples_per_class or min(sizes)), smallest)
        labelled += extra * len(sizes)
    for group, count in unlabelled.items():
        _check_unlabelled(count, sum(sizes) - labelled, group)


def _check_labelled(samples_per_class: int | None, available: int, smallest: str) -> None:
    if samples_per_class is None:
        return
    if samples_per_class < 1:
        raise UserError(f"max_labels_per_class is {samples_per_class}: set it to 1 or more, or to null for all images")
    if samples_per_class > available:
        remedy = f"set max_labels_per_class={available} or less" if available else "add images to it"
        raise UserError(
            f"max_labels_per_class is {samples_per_class} but {smallest} has only "
            f"{counted(available, 'training image')}: {remedy}"
        )


def _check_unlabelled(count: int, available: int, group: str) -> None:
    if count > available:
        raise UserError(f"{group}.unlabelled={count}: only {available} training images are not in the labelled subset")


def epoch_repeats(epoch_labels_per_class: int, samples_per_class: int) -> int:
    """How often an epoch goes through the subset, at least once (ChimeraMix, appendix C).

    So an epoch is about as long whatever n is; the paper's formula without the maximum would give 0 for STL-10 at 50
    per class.

    Args:
        epoch_labels_per_class: Images per class that an epoch should come to.
        samples_per_class: Images per class in the subset, at least 1.

    Raises:
        ValueError: `samples_per_class` is below 1.
    """
    if samples_per_class < 1:
        raise ValueError(f"samples_per_class must be at least 1, got {samples_per_class}")
    return max(epoch_labels_per_class // samples_per_class, 1)
