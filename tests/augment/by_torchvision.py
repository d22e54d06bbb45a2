"""The operations of AutoAugment and TrivialAugment by torchvision, and images to compare them on."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from chimeramix.augment.operations import OPERATIONS
from chimeramix.augment.policies import AutoAugment, TrivialAugment

NAMES = list(OPERATIONS)
MOVING = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]

BY_TORCHVISION: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Identity": lambda image, m: image,
    "ShearX": lambda image, m: tv.affine(image, 0, [0, 0], 1, [math.degrees(math.atan(m)), 0], center=[0, 0]),
    "ShearY": lambda image, m: tv.affine(image, 0, [0, 0], 1, [0, math.degrees(math.atan(m))], center=[0, 0]),
    "TranslateX": lambda image, m: tv.affine(image, 0, [int(m), 0], 1, [0, 0]),
    "TranslateY": lambda image, m: tv.affine(image, 0, [0, int(m)], 1, [0, 0]),
    "Rotate": tv.rotate,
    "Brightness": lambda image, m: tv.adjust_brightness(image, 1 + m),
    "Color": lambda image, m: tv.adjust_saturation(image, 1 + m),
    "Contrast": lambda image, m: tv.adjust_contrast(image, 1 + m),
    "Sharpness": lambda image, m: tv.adjust_sharpness(image, 1 + m),
    "Posterize": lambda image, m: tv.posterize(image, int(m)),
    "Solarize": lambda image, m: tv.solarize(image, 255 * m),
    "AutoContrast": lambda image, m: tv.autocontrast(image),
    "Equalize": lambda image, m: tv.equalize(image),
    "Invert": lambda image, m: tv.invert(image),
}


def torch_fuses() -> bool:
    """Whether this CPU's kernels round `a + alpha * b` once."""
    a, b = torch.rand(2, 256, generator=torch.Generator().manual_seed(0))
    once = (a.double() + torch.tensor(0.3).double() * b.double()).float()
    return torch.equal(a.add(b, alpha=0.3), once)


def assert_same_pixels(ours: Tensor, theirs: Tensor, where: Tensor | None = None) -> None:
    """Equal `where` (everywhere, if not given); on a CPU without fused multiply-add, where torchvision's blends round
    twice and then cut fractions off, equal up to 1."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    difference = (ours.int() - theirs.int()).abs()
    if where is not None:
        difference = difference * where
    assert difference.max() <= (0 if torch_fuses() else 1)


def decided(name: str, magnitude: float, size: int) -> Tensor:
    """`[size, size]` bool: where rounding errors can't choose another source pixel.

    The source position, here in float64 by the operation's definition, is away from the middle between two pixels.
    Torchvision's positions are a matrix product in float32, and processors round that differently.
    """
    row, column = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    if name == "ShearX":
        column = column + magnitude * (row + 0.5)
    elif name == "ShearY":
        row = row + magnitude * (column + 0.5)
    elif name == "Rotate":
        turn, middle = math.radians(magnitude), (size - 1) / 2
        x, y = column - middle, row - middle
        column = math.cos(turn) * x - math.sin(turn) * y + middle
        row = math.sin(turn) * x + math.cos(turn) * y + middle
    return ((column % 1 - 0.5).abs() > 1e-4) & ((row % 1 - 0.5).abs() > 1e-4)


def all_kinds_of_images(size: int) -> Tensor:
    """Smooth, noisy, of low contrast, grey, of two values, constant (0, 77 and 255)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1) * 255
    noise = torch.randint(256, (3, size, size), generator=generator)
    low = torch.randint(100, 104, (3, size, size), generator=generator)
    grey = noise[:1].expand(3, size, size)
    two_values = torch.where(noise < 250, 3, 201)
    constant = torch.tensor([0, 77, 255])[:, None, None].expand(3, size, size)
    return torch.stack([*smooth, noise, low, grey, two_values, constant]).to(torch.uint8)


def strengths(policy: TrivialAugment | AutoAugment, name: str, size: int) -> Iterator[tuple[int, int, float]]:
    """Every level and sign of an operation, and the magnitude."""
    magnitudes = policy.magnitudes(size)
    for level, value in enumerate(magnitudes[name].tolist() if name in magnitudes else [0.0]):
        for negative in range(1 + OPERATIONS[name].signed):
            yield level, negative, -value if negative else value
