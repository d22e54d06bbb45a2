"""Mixers: `(images, labels) -> (images, soft targets)`, drop-in where torchvision's `v2.MixUp` stands.

Imports nothing beyond torch.
"""

from chimeramix.mixing.base import Mixer
from chimeramix.mixing.blend import Blend, BlendMask, Mixed
from chimeramix.mixing.chain import Chain
from chimeramix.mixing.chimera import ChimeraMix, DirectMix
from chimeramix.mixing.cutmix import BoxMask, CutMix
from chimeramix.mixing.fmix import FMix, FourierMask
from chimeramix.mixing.gaussian import AGMix, GaussianMask, GMix
from chimeramix.mixing.glico import GLICO
from chimeramix.mixing.gridmix import GridMix, LatticeMask
from chimeramix.mixing.identity import Identity
from chimeramix.mixing.mask_augmentation import MaskAugmentation
from chimeramix.mixing.miamix import MiAMix
from chimeramix.mixing.mixup import ConstantMask, MixUp
from chimeramix.mixing.oneof import OneOf
from chimeramix.mixing.saliencymix import SaliencyMix, SalientMask
from chimeramix.mixing.sometimes import Sometimes
from chimeramix.mixing.structured import Structured
from chimeramix.mixing.supermix import SuperMix

__all__ = [
    "GLICO",
    "AGMix",
    "Blend",
    "BlendMask",
    "BoxMask",
    "Chain",
    "ChimeraMix",
    "ConstantMask",
    "CutMix",
    "DirectMix",
    "FMix",
    "FourierMask",
    "GMix",
    "GaussianMask",
    "GridMix",
    "Identity",
    "LatticeMask",
    "MaskAugmentation",
    "MiAMix",
    "MixUp",
    "Mixed",
    "Mixer",
    "OneOf",
    "SaliencyMix",
    "SalientMask",
    "Sometimes",
    "Structured",
    "SuperMix",
]
