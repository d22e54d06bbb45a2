"""Scattering without complex numbers, for programs that run elsewhere: ONNX knows none.

Real and imaginary parts stand in a dimension of their own, Fourier transforms are products with the matrices of cosines
and sines, and the trained wavelets are numbers. What comes out is the same but for rounding.
"""

import math

import torch
from torch import Tensor

from chimeramix.models.scattering import Scattering, _crop, _fold


class RealScattering(Scattering):
    """A trained `Scattering` for images of one size.

    Args:
        trained: on the CPU.
        size: side S of the images.
    """

    fixed_wavelets: Tensor
    fixed_low_pass: Tensor

    def __init__(self, trained: Scattering, size: int) -> None:
        super().__init__(trained.scales, trained.orientations, learnable=False)
        self.load_state_dict(trained.state_dict())
        padded = size + 2 ** (self.scales + 1)
        wavelets, low_pass = trained.wavelets(padded, padded), trained._low_pass(padded, padded, torch.device("cpu"))
        self.register_buffer("fixed_wavelets", wavelets.detach().contiguous())
        self.register_buffer("fixed_low_pass", low_pass.contiguous())
        for halvings in range(self.scales + 1):
            side = padded // 2**halvings
            turn = (torch.arange(side)[:, None] * torch.arange(side) % side).double() * (2 * math.pi / side)
            waves = torch.stack([turn.cos(), turn.sin()]).float()
            self.register_buffer(f"waves_{side}", waves)

    def wavelets(self, height: int, width: int) -> Tensor:
        return self.fixed_wavelets

    def _low_pass(self, height: int, width: int, device: torch.device) -> Tensor:
        return self.fixed_low_pass

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

    def _modulus(self, spectrum: Tensor, halvings: int) -> Tensor:
        real, imaginary = self._inverse(_fold(spectrum, 2**halvings))
        return (real.square() + imaginary.square()).sqrt()

    def _smooth(self, spectrum: Tensor, low_pass: Tensor, scale: int) -> Tensor:
        return self._inverse(_fold(spectrum * _crop(low_pass, 2**scale), 2 ** (self.scales - scale)))[0]
