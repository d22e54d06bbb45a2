"""Fine-grained static saliency (Montabone & Soto 2010), as OpenCV has it, for a whole batch.

The sum over six window sizes of how much brighter (on) or darker (off) a pixel is than its surroundings. Equal to
`cv2.saliency.StaticSaliencyFineGrained` of OpenCV 5.0 on 8-bit images, its roundings to 8 bits included.
"""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOWS = (12, 24, 48, 28, 56, 112)  # a window of n spans 2n - 1 pixels, cut off at the border
_GREY = (9798, 19235, 3735)  # OpenCV's weights of red, green and blue, over 2^15


def fine_grained_saliency(images: Tensor) -> Tensor:
    """How salient each pixel is.

    Args:
        images: `[B, C, H, W]` float of any range, C = 3 (RGB) or 1 (grey), at least 2 pixels a side. Each image is
            first stretched to 0..255, from its smallest to its largest value, and rounded.

    Returns:
        `[B, H, W]` float32 in [0, 1]; the largest value of an image is 1, or 0 for one without any contrast.

    Raises:
        ValueError: for other shapes.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[-2:]) < 2:
        raise ValueError(
            f"images must be [batch, 3 or 1, height, width] of 2 pixels at least, got {list(images.shape)}"
        )
    grey = _blur(_blur(_to_grey(images)))
    height, width = grey.shape[-2:]
    # sums[y, x] of the pixels above and left of (y, x); integers, because sums of floats on a GPU vary with the order.
    sums = F.pad(grey.to(torch.int32).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))
    brighter = torch.zeros_like(grey)
    darker = torch.zeros_like(grey)
    # Windows that cover the whole image from every place are equal: computed once, counted as often as they come.
    for window, times in Counter(min(window, max(height, width)) for window in _WINDOWS).items():
        top, bottom = _span(window, height, grey.device)
        left, right = _span(window, width, grey.device)
        rows = sums[:, bottom] - sums[:, top]
        total = rows[:, :, right] - rows[:, :, left]
        others = (bottom - top)[:, None] * (right - left) - 1
        difference = grey - (total - grey) / others.clamp(min=1)
        brighter.add_(difference.clamp(min=0).floor_(), alpha=times)
        darker.sub_(difference.clamp(max=0).ceil_(), alpha=times)
    both = _stretch(brighter) + _stretch(darker)
    return _stretch(both) / 255


def _to_grey(images: Tensor) -> Tensor:
    """`[B, H, W]` float32, whole numbers in 0..255."""
    images = images.float()
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    pixels = ((images - low) * (255 / (high - low).clamp(min=1e-12))).round()
    if pixels.shape[1] == 1:
        return pixels[:, 0]
    red, green, blue = _GREY
    # Whole numbers below 2^23, hence exact.
    return ((red * pixels[:, 0] + green * pixels[:, 1] + blue * pixels[:, 2] + 2**14) / 2**15).floor()


def _blur(grey: Tensor) -> Tensor:
    """The 3 x 3 binomial filter under reflection, rounded."""
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return ((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16 + 0.5).floor()


def _span(window: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First and one past the last position of the window around each position."""
    place = torch.arange(size, device=device)
    return (place - window + 1).clamp(min=0), (place + window + 1).clamp(max=size)


def _stretch(values: Tensor) -> Tensor:
    """Each image's values from 0..its largest to whole numbers in 0..255."""
    largest = values.amax((1, 2), keepdim=True)
    # In float64: a quotient of 1/255 less would be rounded down to the number below.
    return (255 * (values.double() / largest.clamp(min=1))).floor().float()
