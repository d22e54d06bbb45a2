"""Each operation of AutoAugment and TrivialAugment against torchvision, pixel by pixel."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from chimeramix.augment.operations import apply_operations
from chimeramix.augment.policies import AutoAugment, TrivialAugment
from tests.augment.by_torchvision import (
    BY_TORCHVISION,
    MOVING,
    NAMES,
    all_kinds_of_images,
    assert_same_pixels,
    decided,
    strengths,
)


def check_every_strength(name: str, size: int, policy: TrivialAugment | AutoAugment) -> None:
    """All levels and signs of one image are one batch: each sample has settings of its own."""
    levels, signs, magnitudes = zip(*strengths(policy, name, size), strict=True)
    code = torch.full((len(levels),), NAMES.index(name))
    settings = policy._settings_of(size)[code, list(levels), list(signs)]
    where = torch.stack([decided(name, magnitude, size) for magnitude in magnitudes])[:, None]
    assert where.float().mean() > 0.95
    for image in all_kinds_of_images(size):
        ours, _ = apply_operations(image.expand(len(levels), -1, -1, -1), None, code, settings)
        theirs = torch.stack([BY_TORCHVISION[name](image, magnitude) for magnitude in magnitudes])
        assert_same_pixels(ours, theirs, where)


@pytest.mark.parametrize("policy", [TrivialAugment(), AutoAugment("cifar10")], ids=["trivial", "auto"])
@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("name", NAMES)
def test_every_operation_at_every_strength(name: str, size: int, policy: TrivialAugment | AutoAugment) -> None:
    check_every_strength(name, size, policy)


def rounds_once(a: Tensor, b: Tensor) -> Tensor:
    """A matrix product whose additions are fused, as on most CPUs."""
    total = a[..., :1] * b[..., :1, :]
    for k in range(1, a.shape[-1]):
        total = (total.double() + a[..., k : k + 1].double() * b[..., k : k + 1, :].double()).float()
    return total


def rounds_twice(a: Tensor, b: Tensor) -> Tensor:
    """A matrix product whose products are rounded before they are added, as on some AMD CPUs."""
    total = a[..., :1] * b[..., :1, :]
    for k in range(1, a.shape[-1]):
        total = total + a[..., k : k + 1] * b[..., k : k + 1, :]
    return total


def adds_backwards(a: Tensor, b: Tensor) -> Tensor:
    return rounds_twice(a.flip(-1), b.flip(-2))


@pytest.mark.parametrize("product", [rounds_once, rounds_twice, adds_backwards])
@pytest.mark.parametrize("name", ["ShearX", "ShearY", "Rotate"])
def test_on_every_processor(
    name: str, product: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a processor rounds torchvision's grid, the comparison holds."""
    monkeypatch.setattr(Tensor, "bmm", product)
    check_every_strength(name, 96, TrivialAugment())
    check_every_strength(name, 96, AutoAugment("cifar10"))


@pytest.mark.parametrize("size", [1, 2, 3, 33])
def test_odd_and_tiny_images(size: int) -> None:
    policy = TrivialAugment()
    image = all_kinds_of_images(size)[2]
    for name in NAMES:
        for level, negative, magnitude in itertools.islice(strengths(policy, name, size), 0, None, 7):
            code = torch.tensor([NAMES.index(name)])
            ours, _ = apply_operations(image[None], None, code, policy._settings_of(size)[code, level, negative])
            assert_same_pixels(ours[0], BY_TORCHVISION[name](image, magnitude), decided(name, magnitude, size))


@pytest.mark.parametrize("name", MOVING)
def test_segments_move_with_the_pixels(name: str) -> None:
    """Painted as images, segments go where torchvision moves pixels; beside the image its border goes on, as it does
    in torchvision's image of a canvas on which the border pixels are repeated."""
    size, margin = 32, 64
    policy = TrivialAugment()
    labels = torch.randint(1, 255, (size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    painted = labels.expand(3, size, size)
    canvas = tv.pad(painted, [margin] * 4, padding_mode="edge")
    code = torch.tensor([NAMES.index(name)])
    for level, negative, magnitude in strengths(policy, name, size):
        settings = policy._settings_of(size)[code, level, negative]
        image, moved = apply_operations(painted[None], labels[None].short(), code, settings)
        assert moved is not None
        assert moved.dtype == torch.int16
        inside = image[0, 0] != 0
        assert torch.equal(moved[0][inside], image[0, 0][inside].short())
        if name.startswith("Shear"):  # about the upper left corner of the image, not of the canvas
            angles = [math.degrees(math.atan(magnitude)), 0.0]
            shear = angles if name == "ShearX" else angles[::-1]
            wide = tv.affine(canvas, 0, [0, 0], 1, shear, center=[margin, margin])
        else:
            wide = BY_TORCHVISION[name](canvas, magnitude)
        continued = tv.center_crop(wide, [size, size])[0].short()
        where = decided(name, magnitude, size)
        assert torch.equal(moved[0] * where, continued * where)


def test_colour_operations_leave_segments_alone() -> None:
    policy = TrivialAugment()
    images = all_kinds_of_images(16)
    segments = torch.randint(99, (len(images), 16, 16))
    for name in set(NAMES) - set(MOVING):
        code = torch.full((len(images),), NAMES.index(name))
        _, moved = apply_operations(images, segments, code, policy._settings_of(16)[code, 9, 0])
        assert moved is not None
        assert torch.equal(moved, segments)
