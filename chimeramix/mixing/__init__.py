"""Mixers: `(images, labels) -> (images, soft targets)`, drop-in where torchvision's `v2.MixUp` stands.

Imports nothing beyond torch.
"""

from chimeramix.mixing.base import Mixer
from chimeramix.mixing.blend import Blend, Hole
from chimeramix.mixing.chain import Chain
from chimeramix.mixing.chimera import ChimeraMix, DirectMix
from chimeramix.mixing.cutmix import CutMix
from chimeramix.mixing.fmix import FMix
from chimeramix.mixing.gaussian import AGMix, GMix
from chimeramix.mixing.glico import GLICO
from chimeramix.mixing.gridmix import GridMix
from chimeramix.mixing.hole_augmentation import HoleAugmentation
from chimeramix.mixing.identity import Identity
from chimeramix.mixing.miamix import MiAMix
from chimeramix.mixing.mixup import MixUp
from chimeramix.mixing.saliencymix import SaliencyMix
from chimeramix.mixing.supermix import SuperMix

__all__ = [
    "GLICO",
    "AGMix",
    "Blend",
    "Chain",
    "ChimeraMix",
    "CutMix",
    "DirectMix",
    "FMix",
    "GMix",
    "GridMix",
    "Hole",
    "HoleAugmentation",
    "Identity",
    "MiAMix",
    "MixUp",
    "Mixer",
    "SaliencyMix",
    "SuperMix",
]
