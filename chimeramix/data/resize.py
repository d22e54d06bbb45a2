"""Bilinear resizing as PIL does it: pixel centres aligned, and a wider filter when shrinking (antialias).

Deviation: none by intent; every value is within one grey level of PIL's, whose fixed-point rounding differs a little.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes images to squares; the aspect ratio isn't kept.

    Args:
        images: `[n, 3, h, w]` uint8 on the CPU.
        size: Side of the result, at least 1.

    Returns:
        `[n, 3, size, size]` uint8; `images` itself where the size already agrees.

    Raises:
        ValueError: `images` isn't a four-dimensional uint8 tensor, or `size` is below 1.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"resize needs [n, 3, h, w] uint8, got {list(images.shape)} {images.dtype}")
    if size < 1:
        raise ValueError(f"resize needs a size of at least 1, got {size}")
    if tuple(images.shape[2:]) == (size, size):
        return images
    if not len(images):  # interpolate refuses empty batches
        return images.new_empty((0, images.shape[1], size, size))
    if size == 1:  # torch 2.15 takes bytes of 1 x 1 pixel for another layout, and fails
        pixel = interpolate(images.float(), size=(1, 1), mode="bilinear", align_corners=False, antialias=True)
        return pixel.round().clamp(0, 255).byte()
    return interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
