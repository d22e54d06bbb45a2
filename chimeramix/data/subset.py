"""Which images training may use: n per class, drawn by the official rule of ChimeraMix (Reinders et al. 2022).

NumPy's generator draws, and not torch's as everywhere else, because this gives the very subsets of the official code.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from chimeramix.errors import UserError


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
    if samples_per_class is not None and samples_per_class < 1:
        raise UserError(f"max_labels_per_class is {samples_per_class}: set it to 1 or more, or to null for all images")
    rng = np.random.default_rng(seed)
    numbers = labels.numpy()
    counts = np.bincount(numbers, minlength=len(classes))
    smallest = int(counts.argmin())
    if samples_per_class is not None and counts[smallest] < samples_per_class:
        available = int(counts[smallest])
        remedy = f"set max_labels_per_class={available} or less" if available else "add images to it"
        raise UserError(
            f"max_labels_per_class is {samples_per_class} but class {classes[smallest]} has only {available} training "
            f"images: {remedy}"
        )
    chosen: list[int] = []
    for label in range(len(classes)):
        members = np.flatnonzero(numbers == label)
        rng.shuffle(members)
        chosen += members[:samples_per_class].tolist()
    rng.shuffle(chosen)
    return chosen


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
