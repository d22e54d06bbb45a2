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
        return coefficients.reshape(batch, channels * self.coefficients, height // step, width // step)

    def _transform(self, images: Tensor) -> Tensor:
        """`[N, coefficients, h, w]` of padded images `[N, H, W]`, the padding left out."""
        wavelets = self.wavelets(images.shape[-2], images.shape[-1])  # [J, L, H, W]
        averages = [
            [self._averages(side // 2**scale, scale, images.device) for side in images.shape[-2:]]
            for scale in range(self.scales)
        ]
        spectrum = self._fourier(images)
        first, second = [], []
        for scale in range(self.scales):
            modulus = self._modulus(spectrum, wavelets[scale], 2**scale)  # [N, L, H / 2^j, W / 2^j]
            first.append(_smooth(modulus, *averages[scale]))
            if scale + 1 < self.scales:
                inner_spectrum = self._fourier(modulus.flatten(0, 1))  # [N L, ...]
            for coarser in range(scale + 1, self.scales):
                filters = _crop(wavelets[coarser], 2**scale)
                outer = self._modulus(inner_spectrum, filters, 2 ** (coarser - scale))  # [N L, L, ...]
                smooth = _smooth(outer, *averages[coarser])
                second.append(smooth.unflatten(0, (-1, self.orientations)).flatten(1, 2))
        return torch.cat([_smooth(images.unsqueeze(1), *averages[0]), *first, *second], dim=1)

    def _fourier(self, images: Tensor) -> Tensor:
        return torch.fft.fft2(images)

    def _modulus(self, spectrum: Tensor, filters: Tensor, step: int) -> Tensor:
        """`[N, L, H / step, W / step]`: absolute values of the images that have the spectra `[N, H, W]`, convolved with
        the filters of Fourier transforms `[L, H, W]`, at every `step`-th pixel."""
        # A complex filter, too: einsum multiplies tensors of one type.
        dtype = torch.promote_types(spectrum.dtype, filters.dtype)
        return torch.fft.ifft2(_multiply_and_fold(spectrum.to(dtype), filters.to(dtype), step)).abs()

    def _averages(self, side: int, scale: int, device: torch.device) -> Tensor:
        """Weights `[m, side]` of local means along an axis of what is kept at every 2^scale-th pixel, at every 2^J-th;
        those of the padding left out. Their Gaussian is 0.8 * 2^(J - 1) pixels wide and not learned."""
        sigma = 0.8 * 2 ** (self.scales - 1)
        distances = _distances(side * 2**scale, device)
        gaussian = torch.exp(-distances.square() / (2 * sigma**2)).sum(0) / (math.sqrt(2 * math.pi) * sigma)
        kernel = torch.fft.ifft(_crop(torch.fft.fft(gaussian).real, 2**scale, axes=(-1,))).real
        step = 2 ** (self.scales - scale)
        kept = torch.arange(step, side - step, step, device=device)  # the padding is one kept pixel wide
        return kernel[(kept[:, None] - torch.arange(side, device=device)) % side]

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


def _distances(side: int, device: torch.device) -> Tensor:
    """`[3, side]`: distances of the pixels of an axis from its first, over 3 periods."""
    pixels = torch.fft.fftfreq(side, 1 / side, device=device)
    return pixels + side * torch.arange(-1, 2, device=device)[:, None]


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns `[9, 1, 1, height, width]` as distances from the first pixel, over 3 x 3 periods."""
    y = _distances(height, device)[:, None, :, None].expand(3, 3, height, width)
    x = _distances(width, device)[None, :, None, :].expand(3, 3, height, width)
    return y.reshape(9, 1, 1, height, width), x.reshape(9, 1, 1, height, width)


def _multiply_and_fold(spectrum: Tensor, filters: Tensor, step: int) -> Tensor:
    """`[..., L, H / step, W / step]`: products of spectra `[..., H, W]` and filters `[L, H, W]`, as spectra of every
    `step`-th pixel, each of whose frequencies is the mean over the `step`^2 that become one. As matrix products, which
    hold no whole product in memory."""
    height, width = spectrum.shape[-2] // step, spectrum.shape[-1] // step
    parts, of_filters = (
        each.unflatten(-1, (step, width)).unflatten(-3, (step, height)) for each in (spectrum, filters / step**2)
    )
    return torch.einsum("...ahbw,lahbw->...lhw", parts, of_filters)


def _smooth(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Local means of images, by the weights along either axis: a Gaussian is separable."""
    return rows.to(images.dtype) @ images @ columns.T.to(images.dtype)


def _crop(filters: Tensor, factor: int, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """A filter's Fourier transform for images of which every `factor`-th pixel is left: its low frequencies."""
    for axis in axes:
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
