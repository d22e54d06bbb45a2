"""Per-image augmentations, batched: parameters are drawn per sample, operations run on the whole batch.

An augmentation is a callable `augment(images, segments, rng) -> (images, segments)` on `[B, 3, S, S]` uint8 images and
`[B, S, S]` superpixel labels (or None), which it moves together. One with a true `needs_whole` takes images that are
not cut to squares, where there are some, and their `sizes`. An eraser, `erase(images, rng) -> images`, takes
normalised images.
"""

from chimeramix.augment.compose import Compose
from chimeramix.augment.erasing import Cutout, RandomErasing
from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.augment.policies import AutoAugment, TrivialAugment
from chimeramix.augment.random_resized_crop import RandomResizedCrop

__all__ = ["AutoAugment", "Compose", "Cutout", "FlipCrop", "RandomErasing", "RandomResizedCrop", "TrivialAugment"]
