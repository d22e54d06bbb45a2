"""Parametric Scattering Networks (Gauthier et al. 2022): learnable Morlet wavelets, then a wide residual network.

The transform is the second-order scattering of Bruna & Mallat (2013) in kymatio's form: images are padded by
reflection, convolutions are products of Fourier transforms, and what a wavelet of scale 2^j leaves is kept at every
2^j-th pixel. The wavelets start as kymatio's and are rebuilt from their four parameters in every training step. The
coefficients come in kymatio's order for an even number of orientations and at most 2 scales: for an odd number it
begins with the next orientation, and from 3 scales on it sorts those of second order by the first wavelet's
orientation before the second one's scale, here after it.
Wavelets are real in the Fourier domain; their Gaussians are summed over 3 periods per axis, which is exact to rounding.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Scattering(nn.Module):
    """Scattering coefficients of images, per channel: the mean, |wavelets|, and |wavelets of |wavelets||; those of
    first order by scale and orientation, those of second order by first scale, second scale, first and second
    orientation.

    Args:
        scales: J; coefficients are kept at every 2^J-th pixel.
        orientations: L wavelets per scale, evenly over half a turn.
        learnable: whether the wavelets are trained.

    Attributes:
        parameters_of_wavelets: `[4, J * L]`: orientation in radians from the downward axis, frequency xi in radians per
            pixel, width sigma in pixels, and slant: the Gaussian is sigma wide along the wave, sigma / slant across.
    """

    def __init__(self, scales: int = 2, orientations: int = 8, learnable: bool = True) -> None:
        super().__init__()
        if scales < 1 or orientations < 1:
            raise ValueError(f"scales and orientations must be at least 1, got {scales} and {orientations}")
        self.scales = scales
        self.orientations = orientations
        scale = torch.arange(scales, dtype=torch.float64).repeat_interleave(orientations)
        turn = torch.arange(orientations, dtype=torch.float64).repeat(scales)
        # For even L, order and offset of the angles are kymatio's.
        angle = (orientations - orientations // 2 - 1 - turn) * math.pi / orientations
        frequency = 0.75 * math.pi / 2**scale
        sigma = 0.8 * 2**scale
        slant = torch.full_like(scale, 4 / orientations)
        initial = torch.stack([angle, frequency, sigma, slant]).float()
        self.parameters_of_wavelets = nn.Parameter(initial, requires_grad=learnable)

    @property
    def coefficients(self) -> int:
        """Per channel: 1 + J L + L^2 J (J - 1) / 2."""
        count, pairs = self.orientations, self.scales * (self.scales - 1) // 2
        return 1 + self.scales * count + pairs * count**2

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C * coefficients, H / 2^J, W / 2^J]` float32 from `[B, C, H, W]`; H and W are multiples of 2^J.

        Raises:
            ValueError: for other sizes, and for images too small to be padded.
        """
        batch, channels, height, width = images.shape
        step = 2**self.scales
        if height % step or width % step or min(height, width) <= step:
            raise ValueError(
                f"images of {height} x {width} pixels: sides must be multiples of {step}, above {step}; "
                "or choose fewer scales"
            )
        with torch.autocast(images.device.type if images.device.type != "meta" else "cpu", enabled=False):
            padded = F.pad(images.float(), [step] * 4, mode="reflect").flatten(0, 1)
            coefficients = self._transform(padded)
        inner = coefficients[..., 1:-1, 1:-1]  # the padding is one pixel wide by now
        return inner.reshape(batch, channels * self.coefficients, height // step, width // step)

    def _transform(self, images: Tensor) -> Tensor:
        """`[N, coefficients, h, w]` of padded images `[N, H, W]`."""
        wavelets = self.wavelets(images.shape[-2], images.shape[-1])  # [J, L, H, W]
        low_pass = self._low_pass(images.shape[-2], images.shape[-1], images.device)
        spectrum = self._fourier(images).unsqueeze(-3)  # [N, 1, H, W]
        first, second = [], []
        for scale in range(self.scales):
            modulus = self._modulus(spectrum * wavelets[scale], scale)  # [N, L, H / 2^j, W / 2^j]
            inner_spectrum = self._fourier(modulus)
            first.append(self._smooth(inner_spectrum, low_pass, scale))
            for coarser in range(scale + 1, self.scales):
                filters = _crop(wavelets[coarser], 2**scale)
                product = inner_spectrum.unsqueeze(-3) * filters  # [N, L, L, ...]
                outer = self._fourier(self._modulus(product, coarser - scale))
                second.append(self._smooth(outer, low_pass, coarser).flatten(1, 2))
        return torch.cat([self._smooth(spectrum, low_pass, 0), *first, *second], dim=1)

    def _fourier(self, images: Tensor) -> Tensor:
        return torch.fft.fft2(images)

    def _modulus(self, spectrum: Tensor, halvings: int) -> Tensor:
        return torch.fft.ifft2(_fold(spectrum, 2**halvings)).abs()

    def _smooth(self, spectrum: Tensor, low_pass: Tensor, scale: int) -> Tensor:
        """The local mean of what is kept at every 2^scale-th pixel, at every 2^J-th."""
        product = spectrum * _crop(low_pass, 2**scale)
        return torch.fft.ifft2(_fold(product, 2 ** (self.scales - scale))).real

    def wavelets(self, height: int, width: int) -> Tensor:
        """Fourier transforms `[J, L, height, width]` of the wavelets, real."""
        angle, frequency, sigma, slant = self.parameters_of_wavelets.view(4, self.scales, self.orientations, 1, 1)
        y, x = _grid(height, width, self.parameters_of_wavelets.device)  # [9, 1, 1, height, width]
        along = angle.cos() * y + angle.sin() * x
        across = angle.cos() * x - angle.sin() * y
        gaussian = torch.exp(-(along.square() + (slant * across).square()) / (2 * sigma.square()))
        wave = torch.complex((frequency * along).cos(), (frequency * along).sin())
        envelope = gaussian.sum(0)
        wavelet = (gaussian * wave).sum(0)
        mean = wavelet.sum((-2, -1), keepdim=True) / envelope.sum((-2, -1), keepdim=True)
        morlet = (wavelet - mean * envelope) * slant / (2 * math.pi * sigma.square())
        return torch.fft.fft2(morlet).real

    def _low_pass(self, height: int, width: int, device: torch.device) -> Tensor:
        """`[height, width]`: the Fourier transform of a Gaussian of width 0.8 * 2^(J - 1), which is not learned."""
        y, x = _grid(height, width, device)
        sigma = 0.8 * 2 ** (self.scales - 1)
        gaussian = torch.exp(-(x.square() + y.square()) / (2 * sigma**2)).sum(0) / (2 * math.pi * sigma**2)
        return torch.fft.fft2(gaussian).real[0, 0]


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns `[9, 1, 1, height, width]` as distances from the first pixel, over 3 x 3 periods."""
    rows, columns = (
        torch.fft.fftfreq(size, 1 / size, device=device) + size * torch.arange(-1, 2, device=device)[:, None]
        for size in (height, width)
    )
    y = rows[:, None, :, None].expand(3, 3, height, width)
    x = columns[None, :, None, :].expand(3, 3, height, width)
    return y.reshape(9, 1, 1, height, width), x.reshape(9, 1, 1, height, width)


def _fold(spectrum: Tensor, factor: int) -> Tensor:
    """The spectrum of every `factor`-th pixel: the mean over the frequencies that become one."""
    height, width = spectrum.shape[-2] // factor, spectrum.shape[-1] // factor
    return spectrum.unflatten(-2, (factor, height)).unflatten(-1, (factor, width)).mean((-4, -2))


def _crop(filters: Tensor, factor: int) -> Tensor:
    """A filter's Fourier transform for images of which every `factor`-th pixel is left: its low frequencies."""
    for axis in (-2, -1):
        half = filters.shape[axis] // factor // 2
        low, high = filters.narrow(axis, 0, half), filters.narrow(axis, filters.shape[axis] - half, half)
        filters = torch.cat([low, high], dim=axis)
    return filters


class ParametricScattering(nn.Module):
    """Scattering with learnable wavelets, and a residual network of stride 1 on its coefficients.

    The network: two batch normalisations, the second without parameters, a convolution to 128 channels, four
    post-activation blocks each of 256 and 512 channels, an average over 2 x 2 areas and a linear layer. It has
    22,597,232 parameters for 10 classes and 2 x 8 wavelets, and 64 more for the wavelets.

    Args:
        num_classes: K, at least 2.
        scales, orientations, learnable: see `Scattering`.
        channels: of the first convolution, at least 1; the blocks have two and four times as many.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self, num_classes: int, scales: int = 2, orientations: int = 8, learnable: bool = True, channels: int = 128
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.scattering = Scattering(scales, orientations, learnable)
        coefficients = 3 * self.scattering.coefficients
        widths = [channels, *[2 * channels] * 4, *[4 * channels] * 4]
        self.network = nn.Sequential(
            nn.BatchNorm2d(coefficients),
            nn.BatchNorm2d(coefficients, affine=False),
            nn.Conv2d(coefficients, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *(_Block(before, after) for before, after in pairwise(widths)),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * widths[-1], num_classes),
        )

    def without_weight_decay(self) -> list[nn.Parameter]:
        """The wavelets' parameters: decay would pull angles and widths towards 0."""
        return [self.scattering.parameters_of_wavelets]

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, num_classes]` of images `[B, 3, H, W]`."""
        logits: Tensor = self.network(self.scattering(images))
        return logits


class _Block(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut; a ReLU after the sum."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.relu(self.residual(hidden) + self.shortcut(hidden))
