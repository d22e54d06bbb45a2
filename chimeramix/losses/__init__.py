"""Losses of classifiers and generators."""

from chimeramix.losses.classification import CosineCrossEntropyLoss, CosineLoss, SoftTargetCrossEntropy
from chimeramix.losses.laplacian import LaplacianPyramidLoss
from chimeramix.losses.vgg16 import VGG16Loss

__all__ = ["CosineCrossEntropyLoss", "CosineLoss", "LaplacianPyramidLoss", "SoftTargetCrossEntropy", "VGG16Loss"]
