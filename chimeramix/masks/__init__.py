"""Samplers of masks: the weight of the first image, in [0, 1], per position.

A mask is a callable `mask(first, partner, size, rng) -> [B, 1, size, size]` float32 on the batches' device. The same
object serves feature maps and pixels, generator training and classifier training. Besides being called it has
`check(size)`, which raises `ValueError` for a size it can't be sampled at, and `segmentation`, the superpixels it
needs as a `Segmentation`, or None.
"""

from chimeramix.masks.grid import GridMask
from chimeramix.masks.segments import SegmentMask

__all__ = ["GridMask", "SegmentMask"]
