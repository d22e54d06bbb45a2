"""Mixed-sample augmentation: images of a batch are blended with others of the batch under a mask, labels likewise."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream
from chimeramix.types import Batch


class BlendMask(Protocol):
    """Samples masks of a wanted mean for `Blend` and `MiAMix`.

    The masks of ChimeraMix (`chimeramix.masks`) are sampled otherwise, without a wanted mean.
    """

    augmentable: bool
    """Whether MiAMix may smooth, rotate and shear the mask (it has edges)."""

    def check(self, size: int) -> None:
        """Raises `ValueError` where images of this side can't have such a mask."""
        ...

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        """The mask: the weight of the first image, per pixel.

        Args:
            ratio: `[B]` float32 in [0, 1], the first image's share: the wanted mean of each mask.
            partner: `[B, C, H, W]`, the images that show where the mask is 0.

        Returns:
            `[B, 1, H, W]` float32 in [0, 1], or `[B, 1, 1, 1]` for masks that are constant.
        """
        ...


class Blend(Mixer):
    """`mask * image + (1 - mask) * partner` for a random permutation of the batch.

    The target is the same mixture of both labels, weighted with the mean of the mask as it came out: label mass equals
    pixel mass. An image may be its own partner.

    Args:
        num_classes: K.
        blend_mask: samples the masks.
        alpha: the ratio, the first image's share, is drawn from Beta(alpha, alpha); 1 is uniform.
        probability: share of batches that are mixed.
        per: `sample` draws a ratio and a mask for each pair, `batch` one for all pairs, as most published codes do.
    """

    def __init__(
        self,
        num_classes: int,
        blend_mask: BlendMask,
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
        self.blend_mask = blend_mask
        self.alpha = alpha
        self.per = per

    def check(self, image_size: int) -> None:
        self.blend_mask.check(image_size)

    @torch.no_grad()
    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        order = rng.permutation(len(batch))
        partner = batch.images[order]
        draws = min(1, len(batch)) if self.per == "batch" else len(batch)
        mask = self.blend_mask(rng.beta(self.alpha, draws), partner[:draws], rng)
        targets = self.targets(batch.labels)
        return blend(batch.images, partner, mask, targets, targets[order])


def blend(
    images: Tensor, partner: Tensor, mask: Tensor, targets: Tensor, others: Tensor, ratio: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Images and targets mixed: `mask` `[B or 1, 1, H or 1, W or 1]` weights the first image, and its mean the first
    target, unless `ratio` `[B]` does."""
    mask = mask.to(images.dtype)  # before its mean is taken: the label follows the pixels' own precision
    if ratio is None:
        ratio = mask.float().mean(dim=(1, 2, 3))
    return torch.lerp(partner, images, mask), torch.lerp(others, targets, ratio.unsqueeze(1))
