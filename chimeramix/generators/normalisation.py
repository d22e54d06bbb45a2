"""The data set's normalisation inside a generator that makes or stores images in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalisation(nn.Module):
    """`(images - mean) / std` per channel, and back.

    Mean and standard deviation move with the module, but are no part of its state: they come from the configuration.

    Args:
        mean, std: one value per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[B, C, H, W]` from images in [0, 1]."""
        return (images - self.mean) / self.std

    def inverse(self, images: Tensor) -> Tensor:
        """Images in [0, 1] from normalised ones."""
        return images * self.std + self.mean
