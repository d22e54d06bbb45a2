"""How well a generator gives back an image that nothing was mixed into."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chimeramix.evaluate.composing import Composer
from chimeramix.runs.generator import resized
from chimeramix.streams import RandomStream

_BATCH = 64
_LEAST_ERROR = 1e-12  # 120 dB, instead of infinitely many for equal images


@dataclass(frozen=True)
class Reconstruction:
    """Of images with values in [0, 1].

    Attributes:
        images: M.
        mse: mean squared error.
        psnr: mean over images of the peak signal-to-noise ratio, in decibels, at most 120.
        ssim: mean structural similarity (Wang et al. 2004), in [-1, 1].
    """

    images: int
    mse: float
    psnr: float
    ssim: float


def reconstructed(composer: Composer, images: Tensor, seen: bool, rng: RandomStream) -> Tensor | None:
    """What the generator makes of uint8 images `[M, 3, S, S]`, as uint8; None where it can't.

    A ChimeraMix generator decodes what it encoded, at its own size, as its mixer has it. GLICO's has codes of the
    training images only, and stored mixtures reconstruct nothing.

    Args:
        seen: whether these are all training images, in their order.
    """
    generator = getattr(composer.mixer, "generator", None)
    encodes = hasattr(generator, "encode")
    if not encodes and not (seen and hasattr(generator, "codes")):
        return None
    assert generator is not None
    corners = getattr(composer.mixer, "align_corners", False)
    parts = []
    with torch.no_grad():
        for index in torch.arange(len(images)).split(_BATCH):
            if encodes:
                batch = resized(composer.normalised(images[index]), generator.image_size, corners)
                made = resized(generator.decode(generator.encode(batch)), images.shape[-1], corners)
            else:
                made = generator.decode(generator.codes[index.to(generator.codes.device)], rng)
            parts.append(composer.pixels(made))
    return torch.cat(parts)


def compare(images: Tensor, others: Tensor) -> Reconstruction:
    """Figures of pairs of uint8 images `[M, 3, S, S]`."""
    first, second = _channels_last(images), _channels_last(others)
    errors = ((first - second) ** 2).mean(axis=(1, 2, 3))
    psnr = -10 * np.log10(np.maximum(errors, _LEAST_ERROR))
    return Reconstruction(len(images), float(errors.mean()), float(psnr.mean()), _similarity(first, second))


def _similarity(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from skimage.metrics import structural_similarity

    pairs = zip(first, second, strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=-1, data_range=1.0) for a, b in pairs]))


def _channels_last(images: Tensor) -> NDArray[np.float64]:
    return images.permute(0, 2, 3, 1).numpy().astype(np.float64) / 255
