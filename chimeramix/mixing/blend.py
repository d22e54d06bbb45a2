"""Mixed-sample augmentation: images of a batch are blended with others of the batch under a mask, labels likewise."""

from typing import Literal, NamedTuple, Protocol

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


class Mixed(NamedTuple):
    """A mixed batch, and what was drawn for it."""

    images: Tensor
    """`[B, C, H, W]`"""
    targets: Tensor
    """`[B, K]` float32."""
    mask: Tensor
    """`[B, 1, H, W]`, weight of the first image."""
    ratio: Tensor
    """`[B]` float32, weight of the first target."""
    partner: Tensor
    """`[B]` int64, position of each image's partner in the batch."""


class PairMixer(Mixer):
    """Blends each image of a batch with another of the batch under a mask, and their targets likewise.

    A subclass implements `draw`.
    """

    def draw(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The partners' positions `[B]`, their images, masks, and the first target's weight `[B]` or None for the mean
        of the mask."""
        raise NotImplementedError

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        order, partner, mask, ratio = self.draw(batch, rng)
        targets = self.targets(batch.labels)
        return blend(batch.images, partner, mask, targets, targets[order], ratio)[:2]

    def detailed(self, images: Tensor, labels: Tensor) -> Mixed:
        """As calling the mixer, which draws the same, with the mask, the ratio and the partners."""
        batch = self.batch_of(images, labels)
        rng, targets = self.stream(images.device), self.targets(labels)
        if self.active and rng.coin(self.probability):
            order, partner, mask, ratio = self.draw(batch, rng)
            images, targets, mask, ratio = blend(images, partner, mask, targets, targets[order], ratio)
        else:
            order = torch.arange(len(images), device=images.device)
            ratio = torch.ones(1, dtype=torch.float32, device=images.device)
            mask = ratio.view(1, 1, 1, 1)
        count, _, height, width = images.shape
        smoothed = self.smooth(targets, labels)
        return Mixed(images, smoothed, mask.expand(count, 1, height, width), ratio.expand(count), order)


class Blend(PairMixer):
    """`mask * image + (1 - mask) * partner` for a random permutation of the batch.

    The target is the same mixture of both labels, weighted with the mean of the mask as it came out: label mass equals
    pixel mass. An image may be its own partner.

    Args:
        num_classes: `K`.
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
        rng: RandomStream | torch.Generator | int | None = None,
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

    def draw(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor, Tensor, None]:
        order = rng.permutation(len(batch))
        partner = batch.images[order]
        draws = min(1, len(batch)) if self.per == "batch" else len(batch)
        with torch.no_grad():
            mask = self.blend_mask(rng.beta(self.alpha, draws), partner[:draws], rng)
        return order, partner, mask, None


def blend(
    images: Tensor, partner: Tensor, mask: Tensor, targets: Tensor, others: Tensor, ratio: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and targets mixed: `mask` `[B or 1, 1, H or 1, W or 1]` weights the first image, and its mean the first
    target, unless `ratio` `[B]` does. Returns mask and ratio as well."""
    mask = mask.to(images.dtype)  # before its mean is taken: the label follows the pixels' own precision
    if ratio is None:
        ratio = mask.float().mean(dim=(1, 2, 3))
    # uint8 images come with masks of 0 and 1 only.
    mixed = torch.lerp(partner, images, mask) if images.is_floating_point() else torch.where(mask > 0, images, partner)
    return mixed, torch.lerp(others, targets, ratio.unsqueeze(1)), mask, ratio
