"""GMix and AGMix (Liang et al. 2023, Equations 3 to 6): a Gaussian of the partner shows in the image.

The paper's scale ties the Gaussian's width to the image's side, which makes it sqrt(2 pi) times too wide; the original
GMix code gives a full Gaussian the wanted share as volume. A parameter decides (`scale`). Equation 6 rotates the mask's
matrix, which is no rotation of an image; here the covariance is rotated, as the text says.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.streams import RandomStream

_NEWTON_STEPS = 8  # the mean is then exact to 1e-5
_LARGEST_MEAN = 0.999
_LARGEST_CORRELATION = 0.95  # at 1 the covariance is singular

Scale = Literal["area", "exact", "paper"]


class GaussianMask:
    """1 - exp(-d' C^-1 d / (2 s^2)): the partner's Gaussian around a centre that is uniform over the pixels.

    Args:
        scale: how s follows from the partner's share h = 1 - ratio.
            `area`: s^2 = h H W / (2 pi sqrt(det C)), so that the full Gaussian has volume h H W; what the border cuts
            off is missing. The Gaussian carries the smaller share: for h > 1/2 the mask itself is a Gaussian, of share
            1 - h (original GMix code).
            `exact`: s is solved for each sample so that the mean within the image is h; at least that of one pixel.
            `paper`: s = sqrt(h) * max(H, W), the printed formula.
        anisotropic: False is GMix: C is the identity. True is AGMix: C has ones on the diagonal and a correlation
            uniform in (-0.95, 0.95), the paper's (-1, 1) without singular ones, and is rotated by a uniform angle.
    """

    augmentable = False

    def __init__(self, scale: Scale = "area", anisotropic: bool = False) -> None:
        if scale not in ("area", "exact", "paper"):
            raise ValueError(f"scale must be area, exact or paper, got {scale}")
        self.scale = scale
        self.anisotropic = anisotropic

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        height, width = partner.shape[-2:]
        distance, determinant = self._distance(len(ratio), height, width, rng)
        share = 1 - ratio.view(-1, 1, 1, 1)
        if self.scale == "exact":
            return 1 - _gaussian_of_mean(distance, share, determinant)
        if self.scale == "paper":
            return 1 - torch.exp(-distance / (2 * share * max(height, width) ** 2).clamp(min=1e-12))
        smaller = torch.minimum(share, 1 - share)
        variance = smaller * (height * width) / (2 * math.pi * determinant.sqrt())
        gaussian = torch.exp(-distance / (2 * variance).clamp(min=1e-12))
        return torch.where(share > 0.5, gaussian, 1 - gaussian)

    def _distance(self, count: int, height: int, width: int, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """d' C^-1 d `[B, 1, H, W]` in square pixels, and det C `[B, 1, 1, 1]`."""
        device = rng.place
        rows = torch.arange(height, device=device).view(1, 1, -1, 1) - rng.integers(height, count).view(-1, 1, 1, 1)
        columns = torch.arange(width, device=device).view(1, 1, 1, -1) - rng.integers(width, count).view(-1, 1, 1, 1)
        if not self.anisotropic:
            return (rows.square() + columns.square()).float(), rows.new_ones(count, 1, 1, 1, dtype=torch.float32)
        correlation = _LARGEST_CORRELATION * (2 * rng.uniform(count, 1, 1, 1) - 1)
        # The covariance's axes are the diagonals, of variance 1 + correlation and 1 - correlation.
        angle = 2 * math.pi * rng.uniform(count, 1, 1, 1) + math.pi / 4
        along = angle.cos() * columns + angle.sin() * rows
        across = angle.cos() * rows - angle.sin() * columns
        distance = along.square() / (1 + correlation) + across.square() / (1 - correlation)
        return distance, 1 - correlation.square()


def _gaussian_of_mean(distance: Tensor, mean: Tensor, determinant: Tensor) -> Tensor:
    """exp(-distance / (2 s^2)) with the wanted mean over the pixels, by Newton's method for all samples at once.

    log(mean) is a concave function of log(s), a line of slope 2 until the border cuts the Gaussian off. So the steps
    from the value that would do without a border approach the solution from below.
    """
    height, width = distance.shape[-2:]
    mean = mean.clamp(1 / (height * width), _LARGEST_MEAN)
    scale = 0.5 * torch.log(mean * (height * width) / (2 * math.pi * determinant.sqrt()))  # log(s)
    half = 0.5 * distance
    for _ in range(_NEWTON_STEPS):
        inverse = torch.exp(-2 * scale)
        gaussian = torch.exp(-half * inverse)
        found = gaussian.mean((2, 3), keepdim=True)
        slope = 2 * inverse * (half * gaussian).mean((2, 3), keepdim=True)
        scale = scale + (torch.log(mean / found) * found / slope.clamp(min=1e-12)).clamp(-1, 1)
    return torch.exp(-half * torch.exp(-2 * scale))


class GMix(Blend):
    """Round Gaussians of the partner; see `GaussianMask` for `scale`, `Blend` for the other parameters."""

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        scale: Scale = "area",
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, GaussianMask(scale), alpha, probability, per, rng)


class AGMix(Blend):
    """Elliptic Gaussians of any direction; see `GaussianMask` for `scale`, `Blend` for the other parameters."""

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        scale: Scale = "area",
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, GaussianMask(scale, anisotropic=True), alpha, probability, per, rng)
