"""How near images are to the training images: a copy has distance 0, whatever its FID."""

from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 128
_QUANTILES = (0.05, 0.5, 0.95)
CLOSE = 0.05
"""Images count as close to a training image below this quantile of the training images' distances among themselves."""


@dataclass(frozen=True)
class Distances:
    """Of images to their nearest training image, in one space.

    Attributes:
        images: M.
        low, median, high: 5 %, 50 % and 95 % quantiles.
        close: share that is nearer than the `CLOSE` quantile of the training images' distances to each other; None
            where there are no two of these.
        of_sources: share whose nearest training image is one that it was made of; None where that is not known.
    """

    images: int
    low: float
    median: float
    high: float
    close: float | None = None
    of_sources: float | None = None


def pixels(images: Tensor) -> Tensor:
    """Points `[M, D]` of uint8 images, whose Euclidean distance is the root of the mean squared difference of the
    values of two images, in [0, 1]."""
    flat = images.flatten(1).float() / 255
    return flat / flat.shape[1] ** 0.5


def nearest(points: Tensor, others: Tensor, excluded: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distance `[M]` and position `[M]` of the nearest of the others `[N, D]` for each of the points `[M, D]`.

    Args:
        excluded: `[M, N]` bool, pairs that do not count; inf where no other is left.
    """
    distances, positions = [], []
    for start in range(0, len(points), _CHUNK):
        # Not by a product of matrices, which loses small distances.
        each = torch.cdist(points[start : start + _CHUNK], others, compute_mode="donot_use_mm_for_euclid_dist")
        if excluded is not None:
            each = each.masked_fill(excluded[start : start + _CHUNK].to(each.device), torch.inf)
        distance, position = each.min(1)
        distances.append(distance)
        positions.append(position)
    return torch.cat(distances), torch.cat(positions)


def memorisation(
    points: dict[str, Tensor], training: Tensor, labels: Tensor, sources: Tensor | None
) -> tuple[dict[str, Distances], dict[str, Tensor], Tensor]:
    """Distances to the nearest training image.

    Args:
        points: of sets of images, `[M, D]` each, the compositions first.
        training: `[N, D]` of the training images.
        labels: `[N]` of them.
        sources: see `Compositions`.

    Returns:
        For each set, and for the training images among themselves (of any class, and of the same class), the summary;
        all distances `[M]`; and for each composition the position of the nearest training image, `[M]`.
    """
    itself = torch.eye(len(training), dtype=torch.bool)
    of_others = itself | (labels[:, None] != labels)
    among = {
        "training images, to another one": nearest(training, training, itself)[0],
        "training images, to another of the class": nearest(training, training, of_others)[0],
    }
    among = {name: each[each.isfinite()] for name, each in among.items()}
    among = {name: each for name, each in among.items() if len(each)}
    every = next(iter(among.values()), None)
    threshold = None if every is None else float(every.double().quantile(CLOSE))
    found = {name: nearest(each, training) for name, each in points.items()}
    distances = {name: distance for name, (distance, _) in found.items()} | among
    # Of the training images it is the quantile itself, or nearly so.
    summary = {name: _summary(each, None if name in among else threshold) for name, each in distances.items()}
    first = next(iter(points))
    position = found[first][1]
    if sources is not None:
        of_sources = float((sources == position[:, None]).any(1).double().mean())
        plain = summary[first]
        summary[first] = Distances(plain.images, plain.low, plain.median, plain.high, plain.close, of_sources)
    return summary, distances, position


def _summary(distances: Tensor, threshold: float | None) -> Distances:
    low, median, high = (float(distances.double().quantile(share)) for share in _QUANTILES)
    close = None if threshold is None else float((distances < threshold).double().mean())
    return Distances(len(distances), low, median, high, close)
