"""MixUp (Zhang et al. 2018): every pixel is the same convex combination of both images."""

from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.streams import RandomStream


class ConstantMask:
    """The ratio itself, at every pixel."""

    augmentable = False

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        return ratio.view(-1, 1, 1, 1)


class MixUp(Blend):
    """Constant masks; see `Blend` for the parameters."""

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, ConstantMask(), alpha, probability, per, rng)
