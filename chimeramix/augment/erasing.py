"""Augmentations that take a part of an image away, applied to normalised images.

An eraser is a callable `erase(images, rng) -> images` on `[B, C, S, S]` float images.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from chimeramix.streams import RandomStream

_TRIES = 16  # rectangles per image, of which one in 20 does not fit; the published code tries 100


class Cutout:
    """Cutout (DeVries & Taylor 2017): one square is set to 0, the data set's mean.

    The centre is uniform over the pixels and the border cuts the square off, so it is often smaller. A square of odd
    size has just that side; the published code makes it one pixel smaller.

    Args:
        size: side of the square in pixels (16 for CIFAR-10, 8 for CIFAR-100, 24 for STL-10).
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size

    def check(self, image_size: int) -> None:
        """Raises `ValueError` for a square larger than the images, which would often leave nothing of them."""
        if self.size > image_size:
            raise ValueError(f"size must be at most the image's {image_size} pixels, got {self.size}")

    def __call__(self, images: Tensor, rng: RandomStream) -> Tensor:
        batch, _, height, width = images.shape
        top = rng.integers(height, batch) - self.size // 2
        left = rng.integers(width, batch) - self.size // 2
        size = torch.full_like(top, self.size)
        return images.masked_fill(_rectangles(top, left, size, size, height, width), 0)


class RandomErasing:
    """Random Erasing (Zhong et al. 2020) as in ChimeraMix's published code: a rectangle is filled with uniform noise.

    torchvision's transform of this name draws the aspect's logarithm, covers at most a third and fills with 0 or
    normal noise; here the aspect itself is uniform and each value of each pixel is uniform in [0, 1] before
    normalisation.

    Args:
        mean, std: of the normalisation, per channel.
        probability: share of images that lose a part.
        area: smallest and largest share of the image.
        aspect: smallest and largest height / width.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        probability: float = 0.5,
        area: Sequence[float] = (0.02, 0.4),
        aspect: Sequence[float] = (0.3, 1 / 0.3),
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}")
        for name, limits in (("area", area), ("aspect", aspect)):
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise ValueError(f"{name} must be two positive values in ascending order, got {list(limits)}")
        if area[1] > 1:
            raise ValueError(f"area must be at most 1, got {list(area)}")
        self.mean = list(mean)
        self.std = list(std)
        self.probability = probability
        self.area = area
        self.aspect = aspect
        self._normalisation: tuple[Tensor, Tensor] | None = None

    def __call__(self, images: Tensor, rng: RandomStream) -> Tensor:
        batch, _, height, width = images.shape
        sides = self._sides(batch, height, width, rng)
        rows, columns = sides[:, 0], sides[:, 1]
        top = (rng.uniform(batch) * (height - rows + 1)).long()
        left = (rng.uniform(batch) * (width - columns + 1)).long()
        erased = _rectangles(top, left, rows, columns, height, width)
        erased = erased & (rng.uniform(batch, 1, 1, 1) < self.probability)
        return torch.where(erased, self._normalise(rng.uniform(*images.shape)).to(images.dtype), images)

    def _sides(self, batch: int, height: int, width: int, rng: RandomStream) -> Tensor:
        """`[B, 2]` int64: height and width of the first rectangle drawn that is smaller than the image, or 0."""
        area = self._between(self.area, rng.uniform(batch, _TRIES)) * (height * width)
        aspect = self._between(self.aspect, rng.uniform(batch, _TRIES))
        sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=-1).round().long()
        fits = (sides[..., 0] < height) & (sides[..., 1] < width)
        first = fits.long().argmax(dim=1)  # the first of the largest
        chosen = sides.gather(1, first.view(-1, 1, 1).expand(-1, 1, 2)).squeeze(1)
        return chosen * fits.any(dim=1, keepdim=True)

    @staticmethod
    def _between(limits: Sequence[float], uniform: Tensor) -> Tensor:
        return limits[0] + (limits[1] - limits[0]) * uniform

    def _normalise(self, noise: Tensor) -> Tensor:
        if self._normalisation is None or self._normalisation[0].device != noise.device:
            mean, std = (torch.tensor(values).view(-1, 1, 1).to(noise.device) for values in (self.mean, self.std))
            self._normalisation = mean, std
        mean, std = self._normalisation
        return (noise - mean) / std


def _rectangles(top: Tensor, left: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """`[B, 1, height, width]` bool, true within each sample's rectangle, cut off at the border."""

    def along(start: Tensor, extent: Tensor, size: int) -> Tensor:
        place = torch.arange(size, device=start.device) - start[:, None]
        return (place >= 0) & (place < extent[:, None])

    return (along(top, rows, height)[:, :, None] & along(left, columns, width)[:, None, :]).unsqueeze(1)
