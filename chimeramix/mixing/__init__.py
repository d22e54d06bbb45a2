"""Mixers: `(images, labels) -> (images, soft targets)`, drop-in where torchvision's `v2.MixUp` stands.

Imports nothing beyond torch.
"""

from chimeramix.mixing.base import Mixer
from chimeramix.mixing.chimera import ChimeraMix, DirectMix
from chimeramix.mixing.identity import Identity

__all__ = ["ChimeraMix", "DirectMix", "Identity", "Mixer"]
