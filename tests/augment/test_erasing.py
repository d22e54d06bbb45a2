"""Cutout and Random Erasing against loops and closed forms."""

import math

import pytest
import torch

from chimeramix.augment.erasing import Cutout, RandomErasing
from chimeramix.streams import RandomStream


@pytest.mark.parametrize(("size", "side"), [(8, 16), (5, 16), (16, 12)])
def test_cutout_clears_a_square_around_a_pixel(size: int, side: int) -> None:
    images = torch.ones(50, 3, side, side + 2)
    got = Cutout(size)(images, RandomStream(1))
    rng = RandomStream(1)
    rows, columns = rng.integers(side, 50), rng.integers(side + 2, 50)
    for image, row, column in zip(got, rows.tolist(), columns.tolist(), strict=True):
        expected = torch.ones(3, side, side + 2)
        for y in range(side):
            for x in range(side + 2):
                if -(size // 2) <= y - row < size - size // 2 and -(size // 2) <= x - column < size - size // 2:
                    expected[:, y, x] = 0
        assert torch.equal(image, expected)
    assert torch.equal(images, torch.ones_like(images))


def test_cutout_takes_less_at_the_border() -> None:
    """Centre uniform over S places, square of side L: a side keeps on average L - (L/2)(L/2 + ...)/S; here by count."""
    side, size = 32, 16
    kept = sum(min(c + size // 2, side) - max(c - size // 2, 0) for c in range(side)) / side
    erased = (Cutout(size)(torch.ones(20000, 1, side, side), RandomStream(0)) == 0).float().mean().item()
    assert erased == pytest.approx((kept / side) ** 2, abs=0.002)


def test_random_erasing_fills_a_rectangle_with_normalised_noise() -> None:
    eraser = RandomErasing(mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 1.0], probability=1.0)
    images = torch.full((2000, 3, 32, 32), 7.0)
    got = eraser(images, RandomStream(0))
    erased = (got != 7).any(dim=1)
    noise = got.permute(1, 0, 2, 3)[:, erased]
    for channel, (low, high) in enumerate([(-1, 1), (-1, 3), (0, 1)]):
        values = noise[channel]
        assert low <= values.min()
        assert values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
        assert values.var().item() == pytest.approx((high - low) ** 2 / 12, rel=0.01)
    # Each pixel has noise of its own.
    assert len(noise[0].unique()) > 0.9 * len(noise[0]) or len(noise[0]) > 2**20
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(rows * columns, erased.sum((1, 2)))  # rectangles
    assert (rows < 32).all()
    assert (columns < 32).all()


def test_random_erasings_sides_follow_the_published_rule() -> None:
    """Area uniform in (0.02, 0.4), aspect (not its logarithm) uniform in (0.3, 3.33), tried again until it fits."""
    eraser = RandomErasing([0.5] * 3, [0.5] * 3)
    sides = eraser._sides(40000, 32, 32, RandomStream(0)).double()
    generator = torch.Generator().manual_seed(1)
    expected = []
    while len(expected) < 40000:
        area, aspect = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        pixels, ratio = (0.02 + 0.38 * area) * 1024, 0.3 + (1 / 0.3 - 0.3) * aspect
        rows, columns = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if rows < 32 and columns < 32:
            expected.append((rows, columns))
    reference = torch.tensor(expected, dtype=torch.float64)
    for quantile in (0.1, 0.5, 0.9):
        torch.testing.assert_close(sides.quantile(quantile, 0), reference.quantile(quantile, 0), atol=1.01, rtol=0)
    torch.testing.assert_close(sides.mean(0), reference.mean(0), atol=0.12, rtol=0)
    torch.testing.assert_close(sides.prod(1).mean(), reference.prod(1).mean(), atol=2.5, rtol=0)


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_random_erasing_takes_some_images_only(probability: float) -> None:
    images = torch.zeros(4000, 3, 16, 16) - 5
    got = RandomErasing([0.5] * 3, [0.5] * 3, probability)(images, RandomStream(0))
    share = (got != images).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize("erase", [Cutout(4), RandomErasing([0.5] * 3, [0.5] * 3, 1.0)], ids=["cutout", "erasing"])
def test_the_seed_decides(erase: Cutout | RandomErasing) -> None:
    images = torch.ones(20, 3, 16, 16)
    first, again, other = (erase(images, RandomStream(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_bad_parameters_are_named() -> None:
    for make, name in [
        (lambda: Cutout(0), "size"),
        (lambda: RandomErasing([0], [1], probability=2), "probability"),
        (lambda: RandomErasing([0], [1], area=(0.4, 0.1)), "area"),
        (lambda: RandomErasing([0], [1], area=(0.4, 1.1)), "area"),
        (lambda: RandomErasing([0], [1], aspect=(0, 1)), "aspect"),
    ]:
        with pytest.raises(ValueError, match=name):
            make()
