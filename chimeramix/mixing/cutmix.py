"""CutMix (Yun et al. 2019): a box of the partner replaces the same box of the image."""

from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.streams import RandomStream


def box(centre_row: Tensor, centre_column: Tensor, share: Tensor, height: int, width: int) -> Tensor:
    """Boxes of side ratio sqrt(share) around a pixel, cut off at the border.

    Args:
        centre_row, centre_column: `[B]` int64, in 0..height-1 and 0..width-1.
        share: `[B]` float32 in [0, 1], of the image's area.

    Returns:
        `[B, 1, height, width]` float32, 1 within the box. Its sides are even: half the side is rounded down, as
        torchvision does.
    """

    def along(centre: Tensor, size: int) -> Tensor:
        half = (share.sqrt() * (0.5 * size)).long()
        place = torch.arange(size, device=share.device)
        distance = place - centre[:, None]
        return (distance >= -half[:, None]) & (distance < half[:, None])

    return (along(centre_row, height)[:, :, None] & along(centre_column, width)[:, None, :]).unsqueeze(1).float()


class BoxMask:
    """1 but for a box of the partner, of side ratio sqrt(1 - ratio), whose centre is uniform over the pixels.

    The border cuts the box off, so the mean is above the wanted ratio: 0.48 instead of 0.1, 0.92 instead of 0.9 at
    32 x 32 pixels, in expectation.
    """

    augmentable = True

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        height, width = partner.shape[-2:]
        rows, columns = rng.integers(height, len(ratio)), rng.integers(width, len(ratio))
        return 1 - box(rows, columns, 1 - ratio, height, width)


class CutMix(Blend):
    """Box masks; the label weight follows the box that the border left. See `Blend` for the parameters."""

    only_cuts = True

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, BoxMask(), alpha, probability, per, rng)
