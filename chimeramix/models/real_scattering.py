"""Scattering without complex numbers, for programs that run elsewhere: ONNX knows none.

Real and imaginary parts stand in a dimension of their own, Fourier transforms are products with the matrices of cosines
and sines, and the trained wavelets are numbers. What comes out is the same but for rounding.
"""

import math

import torch
from torch import Tensor

from chimeramix.models.scattering import Scattering, _multiply_and_fold


class RealScattering(Scattering):
    """A trained `Scattering` for images of one size.

    Args:
        trained: on the CPU.
        size: side S of the images.
    """

    fixed_wavelets: Tensor

    def __init__(self, trained: Scattering, size: int) -> None:
        super().__init__(trained.scales, trained.orientations, learnable=False)
        self.load_state_dict(trained.state_dict())
        padded = size + 2 ** (self.scales + 1)
        self.register_buffer("fixed_wavelets", trained.wavelets(padded, padded).detach().contiguous())
        for scale in range(self.scales):
            side = padded // 2**scale
            self.register_buffer(f"averages_{scale}", trained._averages(side, scale, torch.device("cpu")))
            turn = (torch.arange(side)[:, None] * torch.arange(side) % side).double() * (2 * math.pi / side)
            waves = torch.stack([turn.cos(), turn.sin()]).float()
            self.register_buffer(f"waves_{side}", waves)

    def wavelets(self, height: int, width: int) -> Tensor:
        return self.fixed_wavelets

    def _averages(self, side: int, scale: int, device: torch.device) -> Tensor:
        return self.get_buffer(f"averages_{scale}")

    def _waves(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines `[n, n]` for images of n x n pixels; either matrix is symmetric."""
        cosine, sine = self.get_buffer(f"waves_{images.shape[-1]}")
        return cosine, sine

    def _fourier(self, images: Tensor) -> Tensor:
        """`[2, ..., n, n]`, real and imaginary part, of `[..., n, n]`."""
        cosine, sine = self._waves(images)
        real, minus_imaginary = images @ cosine, images @ sine
        return torch.stack([cosine @ real - sine @ minus_imaginary, -(cosine @ minus_imaginary) - sine @ real])

    def _inverse(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part `[..., n, n]` of what has this spectrum `[2, ..., n, n]`."""
        cosine, sine = self._waves(spectrum)
        real = spectrum[0] @ cosine - spectrum[1] @ sine
        imaginary = spectrum[0] @ sine + spectrum[1] @ cosine
        pixels = spectrum.shape[-1] ** 2
        return (cosine @ real - sine @ imaginary) / pixels, (cosine @ imaginary + sine @ real) / pixels

    def _modulus(self, spectrum: Tensor, filters: Tensor, step: int) -> Tensor:
        real, imaginary = self._inverse(_multiply_and_fold(spectrum, filters, step))
        return (real.square() + imaginary.square()).sqrt()
