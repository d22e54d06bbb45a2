"""Labelled images: where they come from (`cifar`, `corrupted`, `stl10`, `image_archive`, `image_folder`, `digits`),
which of them training may use (`subset`, published ones: `splits`) and which are held out (`validation`), their
superpixels (`segments`), and how they reach the training loop.
"""

from chimeramix.data.cifar import CIFAR10, CIFAR100, CiFAIR10, CiFAIR100
from chimeramix.data.corrupted import CIFAR10C, CIFAR100C
from chimeramix.data.digits import Digits
from chimeramix.data.image_archive import CUB200, TinyImageNet
from chimeramix.data.image_folder import ImageFolder
from chimeramix.data.splits import GEM, STL10Folds
from chimeramix.data.stl10 import STL10

__all__ = [
    "CIFAR10",
    "CIFAR10C",
    "CIFAR100",
    "CIFAR100C",
    "CUB200",
    "GEM",
    "STL10",
    "CiFAIR10",
    "CiFAIR100",
    "Digits",
    "ImageFolder",
    "STL10Folds",
    "TinyImageNet",
]
