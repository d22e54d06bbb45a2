"""SaliencyMix (Uddin et al. 2021): CutMix whose box sits at the partner's most salient pixel.

Saliency is OpenCV's fine-grained static saliency of the picture, stretched to 8 bits, computed in torch for the whole
batch. The published code hands OpenCV the normalised floats, which it reads as bytes, so that little of the picture is
left; this is the saliency that the paper describes. The published code draws one box per batch, at the first partner's
most salient pixel: `per="batch"`.
"""

from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.mixing.cutmix import box
from chimeramix.mixing.saliency import fine_grained_saliency
from chimeramix.streams import RandomStream


class SalientMask:
    """1 but for a box of side ratio sqrt(1 - ratio) around the partner's most salient pixel, cut off at the border."""

    augmentable = True

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        height, width = partner.shape[-2:]
        peak = fine_grained_saliency(partner).flatten(1).argmax(dim=1)
        return 1 - box(peak // width, peak % width, 1 - ratio, height, width)


class SaliencyMix(Blend):
    """Boxes at salient places; see `Blend` for the parameters. The paper mixes half of the batches."""

    only_cuts = True

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 0.5,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, SalientMask(), alpha, probability, per, rng)
