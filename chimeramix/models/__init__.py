"""Classifiers: images `[B, 3, H, W]` to logits `[B, num_classes]`."""

from chimeramix.models.harmonic import HarmonicScattering, HarmonicWideResNet, harmonic_resnet
from chimeramix.models.resnet import resnet
from chimeramix.models.scattering import ParametricScattering
from chimeramix.models.wide_resnet import WideResNet

__all__ = [
    "HarmonicScattering",
    "HarmonicWideResNet",
    "ParametricScattering",
    "WideResNet",
    "harmonic_resnet",
    "resnet",
]
