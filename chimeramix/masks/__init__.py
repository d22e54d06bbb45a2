"""Samplers of masks: the weight of the first image, in [0, 1], per position, or the shares of more than two images.

A mask is a callable `mask(first, partner, size, rng) -> [B, 1, size, size]` float32 on the batches' device. The same
object serves feature maps and pixels, generator training and classifier training. Besides being called it has
`check(size)`, which raises `ValueError` for a size it can't be sampled at, and `segmentation`, the superpixels it
needs as a `Segmentation`, or None.

A mask that has an attribute `images`, N, above 2 gets N - 1 partners of each image, `[(N - 1) * B, ...]`: all B first
partners, then all second ones. It returns the shares of the N images, `[B, N, size, size]`, which sum to 1.
"""

from chimeramix.masks.grid import GridMask
from chimeramix.masks.segments import SegmentMask

__all__ = ["GridMask", "SegmentMask"]
