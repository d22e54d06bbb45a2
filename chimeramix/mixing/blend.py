"""Mixed-sample augmentation: images of a batch are blended with others of the batch under a mask, labels likewise."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream
from chimeramix.types import Batch


class Hole(Protocol):
    """Samples where the partner shows: one hole per sample, whose mean is about the wanted share.

    The weight of the first image, which papers call the mask, is 1 - hole.
    """

    augmentable: bool
    """Whether MiAMix may smooth, rotate and shear the hole (it has edges)."""

    def check(self, size: int) -> None:
        """Raises `ValueError` where images of this side can't have such a hole."""
        ...

    def __call__(self, share: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        """The weight of the partner.

        Args:
            share: `[B]` float32 in [0, 1], the wanted mean of each hole.
            partner: `[B, C, H, W]`, the images that show through the holes.

        Returns:
            `[B, 1, H, W]` float32 in [0, 1], or `[B, 1, 1, 1]` for holes that are constant.
        """
        ...


class Blend(Mixer):
    """`mask * image + (1 - mask) * partner` for a random permutation of the batch.

    The target is the same mixture of both labels, weighted with the mean of the mask as it came out: label mass equals
    pixel mass. An image may be its own partner.

    Args:
        num_classes: K.
        hole: samples where the partner shows.
        alpha: the first image's share is drawn from Beta(alpha, alpha); 1 is uniform.
        probability: share of batches that are mixed.
        per: `sample` draws a share and a hole for each pair, `batch` one for all pairs, as most published codes do.
    """

    def __init__(
        self,
        num_classes: int,
        hole: Hole,
        alpha: float = 1.0,
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | int | None = None,
    ) -> None:
        super().__init__(num_classes, probability, rng)
        if alpha < SMALLEST_CONCENTRATION:
            raise ValueError(f"alpha must be at least {SMALLEST_CONCENTRATION}, got {alpha}")
        if per not in ("sample", "batch"):
            raise ValueError(f"per must be sample or batch, got {per}")
        self.hole = hole
        self.alpha = alpha
        self.per = per

    def check(self, image_size: int) -> None:
        self.hole.check(image_size)

    @torch.no_grad()
    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        order = rng.permutation(len(batch))
        partner = batch.images[order]
        draws = min(1, len(batch)) if self.per == "batch" else len(batch)
        share = 1 - rng.beta(self.alpha, draws)
        hole = self.hole(share, partner[:draws], rng)
        targets = self.targets(batch.labels)
        return blend(batch.images, partner, hole, targets, targets[order])


def blend(
    images: Tensor, partner: Tensor, hole: Tensor, targets: Tensor, others: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Images and targets mixed with the weights `hole` `[B or 1, 1, H or 1, W or 1]` of the partner; `weight` `[B]`
    weights the targets otherwise than by the hole's mean."""
    hole = hole.to(images.dtype)  # before it is measured: the label follows the pixels' own precision
    if weight is None:
        weight = hole.float().mean(dim=(1, 2, 3))
    return torch.lerp(images, partner, hole), torch.lerp(targets, others, weight.unsqueeze(1))
