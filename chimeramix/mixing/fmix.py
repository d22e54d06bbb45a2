"""FMix (Harris et al. 2020): masks are thresholded low-frequency noise.

The published code indexes the amplitude along the wrong axis, so that its noise holds only the two lowest horizontal
frequencies; this is the definition of the paper.
"""

from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.streams import RandomStream


class FourierMask:
    """0 at the pixels with the largest values of Gaussian noise whose amplitude falls with the frequency, 1 elsewhere.

    The partner's pixels are (1 - ratio) * H * W, rounded up or down by a coin.

    Args:
        decay: power of the frequency by which the amplitude falls (paper: 3); larger gives smoother edges.
    """

    augmentable = True

    def __init__(self, decay: float = 3.0) -> None:
        if decay < 0:
            raise ValueError(f"decay must not be negative, got {decay}")
        self.decay = decay
        # Per image size and device: it follows from these alone.
        self._amplitudes: dict[tuple[int, int, torch.device], Tensor] = {}

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        height, width = partner.shape[-2:]
        amplitude = self._amplitude(height, width, ratio.device)
        spectrum = torch.view_as_complex(rng.normal(len(ratio), *amplitude.shape, 2)) * amplitude
        noise = torch.fft.irfft2(spectrum, s=(height, width)).flatten(1)
        count = ((1 - ratio) * (height * width) + rng.uniform(len(ratio))).long()
        place = torch.arange(height * width, device=ratio.device)
        largest_first = noise.argsort(dim=1, descending=True)
        mask = torch.zeros_like(noise).scatter_(1, largest_first, (place >= count[:, None]).to(noise.dtype))
        return mask.view(-1, 1, height, width)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_amplitudes": {}}  # other processes have other devices

    def _amplitude(self, height: int, width: int, device: torch.device) -> Tensor:
        """`[H, W/2 + 1]` float32: 1 / frequency^decay, the frequency in cycles per pixel and at least that of one
        cycle per image."""
        key = (height, width, device)
        if key not in self._amplitudes:
            rows = torch.fft.fftfreq(height, dtype=torch.float32, device=device)[:, None]
            columns = torch.fft.rfftfreq(width, dtype=torch.float32, device=device)[None, :]
            frequency = torch.hypot(rows, columns).clamp(min=1 / max(height, width))
            self._amplitudes[key] = frequency.pow(-self.decay)
        return self._amplitudes[key]


class FMix(Blend):
    """Masks from low-frequency noise; see `FourierMask` for `decay`, `Blend` for the other parameters."""

    only_cuts = True

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        decay: float = 3.0,
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, FourierMask(decay), alpha, probability, per, rng)
