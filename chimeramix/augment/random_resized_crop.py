"""A random part of an image, scaled to the size that networks see, and a random flip (Szegedy et al. 2015).

Reference: `torchvision.transforms.v2.RandomResizedCrop` with antialias. Deviations: none by intent; values are within
one grey level of torchvision's, whose fixed-point rounding differs a little.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from chimeramix.streams import RandomStream

Interpolation = Literal["bilinear", "bicubic"]

_TRIES = 10  # rectangles per image, as torchvision draws


class RandomResizedCrop:
    """Cuts a rectangle of random area and aspect at a random place out of an image, and scales it to a square.

    Resampling is linear in rows and columns, so it is two batched matrix products, whose matrices hold cut, filter and
    flip; images of different sizes need no loop, and nothing is read back from the device.

    Args:
        size: side S of the result; None for that of the images.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width / height; its logarithm is uniform.
        interpolation: `bilinear` or `bicubic`.
        flip: probability of a horizontal flip, in [0, 1].
        longest_side: pixels to which whole images are scaled down that are larger; they lie in memory so.
    """

    needs_whole = True
    """Takes images that are not cut to squares, where a data set has them."""

    def __init__(
        self,
        size: int | None = None,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = "bilinear",
        flip: float = 0.5,
        longest_side: int = 512,
    ) -> None:
        if size is not None and size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        for name, limits in (("scale", scale), ("ratio", ratio)):
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise ValueError(f"{name} must be two positive values in ascending order, got {list(limits)}")
        if scale[1] > 1:
            raise ValueError(f"scale must be at most 1, got {list(scale)}")
        if interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation must be bilinear or bicubic, got {interpolation}")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip must be in [0, 1], got {flip}")
        if longest_side < 1:
            raise ValueError(f"longest_side must be at least 1, got {longest_side}")
        self.size = size
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation
        self.flip = flip
        self.longest_side = longest_side

    def __call__(
        self, images: Tensor, segments: Tensor | None, rng: RandomStream, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Takes `[B, C, H, W]` uint8 and integers `[B, H, W]`; smaller images are in the upper left corner.

        Args:
            sizes: `[B, 2]` int64, heights and widths of the images; None where they fill all.

        Returns:
            `[B, C, S, S]` uint8, and `[B, S, S]` of the segments, those at the nearest pixels.
        """
        height, width = images.shape[-2:]
        if sizes is None:
            sizes = torch.stack([images.new_full((len(images),), n, dtype=torch.int64) for n in (height, width)], 1)
        boxes = self.boxes(sizes, rng)
        flipped = rng.uniform(len(images)) < self.flip
        return self.crop(images, segments, boxes, flipped)

    def boxes(self, sizes: Tensor, rng: RandomStream) -> Tensor:
        """`[B, 4]` int64: top, left, height and width of a crop of each image of `sizes` `[B, 2]` int64.

        The first of ten rectangles that fits; else the largest central one of an admitted aspect.
        """
        count = len(sizes)
        height, width = sizes[:, :1].float(), sizes[:, 1:].float()
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * rng.uniform(count, _TRIES))
        aspect = (low + (high - low) * rng.uniform(count, _TRIES)).exp()
        rows, columns = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
        fits = (rows > 0) & (columns > 0) & (rows <= height) & (columns <= width)
        first = fits.long().argmax(1, keepdim=True)  # the first of the largest
        found = fits.any(1, keepdim=True)
        rows = torch.where(found, rows.gather(1, first), torch.minimum(height, (width / self.ratio[0]).round()))
        columns = torch.where(found, columns.gather(1, first), torch.minimum(width, (height * self.ratio[1]).round()))
        place = rng.uniform(count, 2)
        top = torch.where(found, (place[:, :1] * (height - rows + 1)).floor(), ((height - rows) / 2).floor())
        left = torch.where(found, (place[:, 1:] * (width - columns + 1)).floor(), ((width - columns) / 2).floor())
        # The product of a number just below 1 may round up.
        top, left = torch.minimum(top, height - rows), torch.minimum(left, width - columns)
        return torch.cat([top, left, rows, columns], 1).long()

    def crop(
        self, images: Tensor, segments: Tensor | None, boxes: Tensor, flipped: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Cuts `boxes` `[B, 4]` (see `boxes`) out and flips those of `flipped` `[B]` bool; shapes as in a call."""
        height, width = images.shape[-2:]
        size = self.size or width
        place = torch.arange(size, device=images.device)
        columns = torch.where(flipped[:, None], size - 1 - place, place)  # which column of the result comes where
        by_rows = self._weights(place.expand(len(images), -1), boxes[:, 0], boxes[:, 2], height, size)
        by_columns = self._weights(columns, boxes[:, 1], boxes[:, 3], width, size)
        with torch.autocast(images.device.type, enabled=False):  # half precision would cost grey levels
            # Rounded and clamped in between, as images of bytes are: bicubic filters overshoot.
            scaled = (images.float() @ by_columns[:, None].mT).round_().clamp_(0, 255)
            scaled = (by_rows[:, None] @ scaled).round_().clamp_(0, 255)
        cropped = scaled.to(images.dtype)
        if segments is not None:
            rows = boxes[:, :1] + ((place + 0.5) * boxes[:, 2:3] / size).long()
            columns = boxes[:, 1:2] + ((columns + 0.5) * boxes[:, 3:] / size).long()
            source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
            segments = segments.flatten(1).gather(1, source).unflatten(1, (size, size))
        return cropped, segments

    def _weights(self, result: Tensor, start: Tensor, extent: Tensor, length: int, size: int) -> Tensor:
        """`[B, size, length]` float32: what each pixel of the original has of each of the result.

        Args:
            result: `[B, size]`, positions in the result.
            start, extent: `[B]`, of the crop in the original, of whose `length` pixels no others count.
        """
        step = extent[:, None, None] / size  # pixels of the original for one of the result
        pixel = torch.arange(length, device=result.device) - start[:, None, None]
        distance = (pixel + 0.5 - (result[:, :, None] + 0.5) * step) / step.clamp(min=1)
        weights = _triangle(distance) if self.interpolation == "bilinear" else _cubic(distance)
        weights = weights * ((pixel >= 0) & (pixel < extent[:, None, None]))
        return weights / weights.sum(2, keepdim=True)


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance.abs()).clamp(min=0)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic with a = -1/2, as PIL and torch's antialiased bicubic have it."""
    x = distance.abs()
    inner = (1.5 * x - 2.5) * x.square() + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, outer * (x < 2))
