"""The image operations of AutoAugment and TrivialAugment, batched, with torchvision's pixels.

An operation has two halves. On the host, a magnitude becomes at most six numbers, the settings. On the device, a kernel
applies the settings of n samples to their images, without a host synchronisation. Reference:
`torchvision.transforms.v2.functional` on uint8 tensors, nearest interpolation, zero fill.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor | None]]
"""From images `[n, 3, S, S]` uint8, segments `[n, S, S]` or None, and settings `[n, 6]` to images and segments."""

SETTINGS = 6
"""Columns of the settings; operations that need fewer leave the last ones 0."""


@dataclass(frozen=True)
class Operation:
    """An operation's two halves.

    Attributes:
        kernel: the device half; operations that share one run together.
        settings: the host half, from a magnitude and the image's side to at most six numbers.
        signed: whether a policy gives its magnitude a random sign.
    """

    kernel: Kernel
    settings: Callable[[float, int], Sequence[float]] = lambda magnitude, size: ()
    signed: bool = False


def apply_operations(
    images: Tensor, segments: Tensor | None, operation: Tensor, settings: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Applies one operation to each sample: as many kernels as there are different operations in the batch.

    Args:
        images: `[B, 3, S, S]` uint8; not changed.
        segments: `[B, S, S]` integers, moved by geometric operations; not changed.
        operation: `[B]` int64, positions in `OPERATIONS`, on the host.
        settings: `[B, 6]` float32, on the host.
    """
    kernel = _KERNEL_OF[operation]
    order = kernel.argsort(stable=True)
    counts: list[int] = kernel.bincount(minlength=len(_KERNELS)).tolist()
    # One transfer for all: float32 holds whole numbers up to 2^24, more than any batch.
    plan = to_device(torch.cat([order[:, None].float(), settings[order]], 1), images.device)
    order, settings = plan[:, 0].long(), plan[:, 1:]
    image_parts = list(images[order].split(counts))
    segment_parts = [None] * len(counts) if segments is None else list(segments[order].split(counts))
    for i, part in enumerate(settings.split(counts)):
        if len(part):
            image_parts[i], segment_parts[i] = _KERNELS[i](image_parts[i], segment_parts[i], part)
    images = torch.empty_like(images).index_copy_(0, order, torch.cat(image_parts))
    if segments is not None:
        moved = torch.cat([part for part in segment_parts if part is not None])
        segments = torch.empty_like(segments).index_copy_(0, order, moved)
    return images, segments


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A host tensor on the device, without a synchronisation. Pinned memory is recycled only after the copy."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def _keep(images: Tensor, segments: Tensor | None, settings: Tensor) -> tuple[Tensor, Tensor | None]:
    return images, segments


def _warp(images: Tensor, segments: Tensor | None, settings: Tensor) -> tuple[Tensor, Tensor | None]:
    """Takes every pixel from the place that the settings, an inverse affine matrix, name.

    Outside the image pixels are 0. Segments have no label for that: there they continue the nearest border pixel.
    """
    source, inside = _sources(settings, images.shape[-1])
    pixels = images.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1))
    if segments is not None:
        segments = segments.flatten(1).gather(1, source).view_as(segments)
    return (pixels * inside[:, None]).view_as(images), segments


def _sources(settings: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from: positions `[n, S * S]` int64, moved to the nearest border pixel where they are
    outside the image, and `[n, S * S]` bool, whether they were inside.

    Many sources lie halfway between two pixels, so rounding errors choose: the steps are those of torchvision's
    float32 grid, which runs from -1 to 1, and of `grid_sample`.
    """
    matrix = settings.view(-1, 2, 3, 1, 1) / (0.5 * size)
    place = torch.arange(size, dtype=torch.float32, device=settings.device) - (size - 1) / 2
    grid = _add_scaled(matrix[:, :, 0] * place, matrix[:, :, 1], place[:, None]).add_(matrix[:, :, 2])
    nearest = grid.add_(1).mul_(size / 2).sub_(0.5).round_()
    border = nearest.clamp(0, size - 1)
    column, row = border.long().unbind(1)
    return row.mul_(size).add_(column).flatten(1), (nearest == border).all(1).flatten(1)


def _add_scaled(values: Tensor, factor: Tensor, others: Tensor) -> Tensor:
    """`values + factor * others` in float32, rounded once (fused) as `torch.add(alpha=...)` does on CUDA and on a CPU's
    vector units; that takes one factor for the whole batch. In float64 the product is exact, and nearly always the sum.
    """
    if values.device.type == "mps":  # has no float64: pixels may differ by 1 there
        return values + factor * others
    return (others.double() * factor.double() + values).float()


def _recolour(function: Callable[[Tensor, Tensor], Tensor]) -> Kernel:
    """The kernel of an operation that leaves pixels where they are: segments stay. The function gets the settings as
    `[6, n, 1, 1, 1]`."""

    def kernel(images: Tensor, segments: Tensor | None, settings: Tensor) -> tuple[Tensor, Tensor | None]:
        return function(images, settings.T[..., None, None, None]), segments

    return kernel


def _truncate(values: Tensor) -> Tensor:
    """Floats, which it clamps in place, to uint8 as torchvision does: fractions are cut off, not rounded."""
    return values.clamp_(0, 255).to(torch.uint8)


def _blend(images: Tensor, others: Tensor, settings: Tensor) -> Tensor:
    """`factor * images + (1 - factor) * others`; the settings hold both weights."""
    return _truncate(_add_scaled(images * settings[0], settings[1], others))


def _grey(images: Tensor) -> Tensor:
    """Luma `[n, 1, S, S]`, whole numbers in float32."""
    red, green, blue = images.split(1, dim=1)
    # Made on the device: copying a number to it would synchronise.
    of_green, of_blue = (torch.full((), weight, device=images.device) for weight in (0.587, 0.114))
    return _add_scaled(_add_scaled(red * 0.2989, of_green, green), of_blue, blue).floor_()


def _brightness(images: Tensor, settings: Tensor) -> Tensor:
    return _truncate(images * settings[0])


def _colour(images: Tensor, settings: Tensor) -> Tensor:
    return _blend(images, _grey(images), settings)


def _contrast(images: Tensor, settings: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), settings)


def _sharpness(images: Tensor, settings: Tensor) -> Tensor:
    """Blends with a blur whose 3 x 3 weights are 1, the centre's 5, over 13; border pixels stay."""
    values = images.short()
    centre = values[..., 1:-1, 1:-1]
    rows = (values[..., :-2, :] + values[..., 1:-1, :]).add_(values[..., 2:, :])
    total = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).add_(centre, alpha=4)
    # Thirteenths are never near a half, so this rounds like torchvision's convolution, however that adds up.
    difference = (total / 13).round_().sub_(centre)
    sharpened = images.clone()
    sharpened[..., 1:-1, 1:-1] = _truncate(_add_scaled(centre, settings[1], difference))
    return sharpened


def _posterize(images: Tensor, settings: Tensor) -> Tensor:
    return images & settings[0].to(torch.uint8)


def _solarize(images: Tensor, settings: Tensor) -> Tensor:
    # Pixels are whole numbers: comparing with the next whole number needs no float copy of the images.
    return torch.where(images >= settings[0].ceil().to(torch.uint8), ~images, images)


def _autocontrast(images: Tensor, settings: Tensor) -> Tensor:
    """Stretches each channel to 0..255; a channel of one value stays."""
    lowest, highest = (extreme.float() for extreme in torch.aminmax(images.flatten(2), dim=2, keepdim=True))
    flat = lowest == highest
    scale = ((highest - lowest) * (1 / 255)).masked_fill_(flat, 1)
    return _truncate((images.flatten(2) - lowest.masked_fill_(flat, 0)) / scale).view_as(images)


def _equalize(images: Tensor, settings: Tensor) -> Tensor:
    """Flattens each channel's histogram with Pillow's whole-number arithmetic; a channel of too few values stays."""
    pixels = images.flatten(2).long()
    ones = torch.ones((), dtype=torch.int32, device=images.device).expand_as(pixels)
    histogram = ones.new_zeros(*pixels.shape[:2], 256).scatter_add_(2, pixels, ones)
    brightest = histogram.gather(2, pixels.amax(2, keepdim=True))
    step = (pixels.shape[2] - brightest) // 255
    darker = histogram.cumsum(2, dtype=torch.int32) - histogram
    level = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, level, torch.arange(256, dtype=torch.int32, device=images.device))
    return table.to(torch.uint8).gather(2, pixels).view_as(images)


def _invert(images: Tensor, settings: Tensor) -> Tensor:
    return ~images


# Matrices from an output pixel to its source, (x, y) with the image's centre at 0. Shear keeps the upper left corner.


def _shear_x(magnitude: float, size: int) -> Sequence[float]:
    return 1, magnitude, magnitude * size / 2, 0, 1, 0


def _shear_y(magnitude: float, size: int) -> Sequence[float]:
    return 1, 0, 0, magnitude, 1, magnitude * size / 2


def _translate_x(magnitude: float, size: int) -> Sequence[float]:
    return 1, 0, -int(magnitude), 0, 1, 0


def _translate_y(magnitude: float, size: int) -> Sequence[float]:
    return 1, 0, 0, 0, 1, -int(magnitude)


def _rotate(magnitude: float, size: int) -> Sequence[float]:
    angle = math.radians(magnitude)
    return math.cos(angle), -math.sin(angle), 0, math.sin(angle), math.cos(angle), 0


def _weights(magnitude: float, size: int) -> Sequence[float]:
    return 1 + magnitude, 1 - (1 + magnitude)


def _bit_mask(magnitude: float, size: int) -> Sequence[float]:
    return (256 - 2 ** (8 - int(magnitude)),)


def _threshold(magnitude: float, size: int) -> Sequence[float]:
    return (255 * magnitude,)


OPERATIONS: dict[str, Operation] = {
    "Identity": Operation(_keep),
    "ShearX": Operation(_warp, _shear_x, signed=True),
    "ShearY": Operation(_warp, _shear_y, signed=True),
    "TranslateX": Operation(_warp, _translate_x, signed=True),
    "TranslateY": Operation(_warp, _translate_y, signed=True),
    "Rotate": Operation(_warp, _rotate, signed=True),
    "Brightness": Operation(_recolour(_brightness), _weights, signed=True),
    "Color": Operation(_recolour(_colour), _weights, signed=True),
    "Contrast": Operation(_recolour(_contrast), _weights, signed=True),
    "Sharpness": Operation(_recolour(_sharpness), _weights, signed=True),
    "Posterize": Operation(_recolour(_posterize), _bit_mask),
    "Solarize": Operation(_recolour(_solarize), _threshold),
    "AutoContrast": Operation(_recolour(_autocontrast)),
    "Equalize": Operation(_recolour(_equalize)),
    "Invert": Operation(_recolour(_invert)),
}
"""By torchvision's names. Magnitudes: slopes, whole pixels (fractions are cut off), degrees counter-clockwise, weights
added to 1 (from -1), bits that stay, and for Solarize the share of 255 from which pixels are inverted."""

_KERNELS = list(dict.fromkeys(operation.kernel for operation in OPERATIONS.values()))
_KERNEL_OF = torch.tensor([_KERNELS.index(operation.kernel) for operation in OPERATIONS.values()])
