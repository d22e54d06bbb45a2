"""Each method's masks against its definition: slow loops, closed forms, torchvision, and figures measured elsewhere."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from chimeramix.mixing.cutmix import BoxMask, box
from chimeramix.mixing.fmix import FourierMask
from chimeramix.mixing.gaussian import GaussianMask
from chimeramix.mixing.gridmix import LatticeMask
from chimeramix.mixing.mixup import ConstantMask
from chimeramix.mixing.saliency import fine_grained_saliency
from chimeramix.mixing.saliencymix import SalientMask
from chimeramix.streams import RandomStream

RATIOS = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])


def mean_mask(sampler: object, count: int = 4000) -> list[float]:
    """The first image's mean weight for each of `RATIOS` at 32 x 32 pixels."""
    assert callable(sampler)
    rng = RandomStream(3)
    blank = torch.zeros(count, 3, 32, 32)
    return [sampler(torch.full((count,), ratio), blank, rng).mean().item() for ratio in RATIOS.tolist()]


@pytest.mark.parametrize(
    ("sampler", "expected", "tolerance"),
    [
        (ConstantMask(), [0.1, 0.3, 0.5, 0.7, 0.9], 1e-6),
        (FourierMask(), [0.1, 0.3, 0.5, 0.7, 0.9], 1e-4),
        # Measured on the published codes (CutMix, GridMixup, GMix), wanted 0.1, 0.3, 0.5, 0.7, 0.9 of the first image.
        (BoxMask(), [0.48, 0.58, 0.68, 0.81, 0.92], 0.015),
        # GridMixup loses cells of crops that exceed the image; without that slip the partner has a little more.
        (LatticeMask(), [0.53, 0.59, 0.73, 0.84, 0.95], 0.04),
        (GaussianMask("area"), [0.08, 0.20, 0.70, 0.80, 0.92], 0.015),
        (GaussianMask("exact"), [0.1, 0.3, 0.5, 0.7, 0.9], 1e-3),
        (GaussianMask("exact", anisotropic=True), [0.1, 0.3, 0.5, 0.7, 0.9], 1e-3),
        (GaussianMask("paper"), [0.16, 0.20, 0.26, 0.37, 0.65], 0.015),
    ],
    ids=["mixup", "fmix", "cutmix", "gridmix", "gmix", "gmix exact", "agmix exact", "gmix paper"],
)
def test_share_of_the_first_image(sampler: object, expected: list[float], tolerance: float) -> None:
    means = mean_mask(sampler)
    if isinstance(sampler, GaussianMask) and sampler.scale == "area":
        means[2] = max(means[2], 1 - means[2])  # at exactly one half either image may carry the Gaussian
    assert means == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.2, 0.5, 0.77, 1.0])
def test_boxes_are_torchvisions(share: float) -> None:
    height, width = 20, 31
    cutmix = v2.CutMix(num_classes=2)
    cutmix._dist = type("", (), {"sample": lambda self, shape: torch.tensor(1 - share)})()
    for seed in range(20):
        torch.manual_seed(seed)
        left, top, right, bottom = cutmix.make_params([torch.zeros(2, 3, height, width)])["box"]
        torch.manual_seed(seed)
        column, row = torch.randint(width, (1,)), torch.randint(height, (1,))
        expected = torch.zeros(1, 1, height, width)
        expected[..., top:bottom, left:right] = 1
        assert torch.equal(box(row, column, torch.tensor([share]), height, width), expected)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (5, 8), (7, 5)])
def test_fmix_thresholds_low_frequency_noise(height: int, width: int) -> None:
    """Against an inverse Fourier sum written out in float64."""
    ratio = torch.tensor([0.75, 0.4, 0.1])
    masks = FourierMask()(ratio, torch.zeros(3, 3, height, width), RandomStream(1))
    rng = RandomStream(1)
    spectrum = rng.normal(3, height, width // 2 + 1, 2).double()
    coin = rng.uniform(3)
    for sample in range(3):
        noise = torch.zeros(height, width, dtype=torch.float64)
        for u in range(height):
            for v in range(width // 2 + 1):
                frequency = math.hypot(min(u, height - u) / height, v / width)
                amplitude = max(frequency, 1 / max(height, width)) ** -3
                twice = 1 if v == 0 or 2 * v == width else 2  # the other half of the spectrum is the conjugate
                real, imaginary = (spectrum[sample, u, v] * amplitude * twice).tolist()
                for y in range(height):
                    for x in range(width):
                        phase = 2 * math.pi * (u * y / height + v * x / width)
                        noise[y, x] += real * math.cos(phase) - imaginary * math.sin(phase)
        count = math.floor((1 - ratio[sample].item()) * height * width + coin[sample].item())
        largest = noise.flatten().argsort(descending=True)[:count]
        assert set((masks[sample].flatten() == 0).nonzero().flatten().tolist()) == set(largest.tolist())


def test_fmix_has_the_ratio_exactly_but_for_a_pixel() -> None:
    ratio = torch.rand(200, generator=torch.Generator().manual_seed(0))
    masks = FourierMask()(ratio, torch.zeros(200, 3, 32, 32), RandomStream(0))
    assert set(masks.unique().tolist()) == {0, 1}
    assert (masks.mean((1, 2, 3)) - ratio).abs().max() <= 1 / 1024 + 1e-6


def test_fmix_decay_decides_how_smooth_masks_are() -> None:
    ratio, blank = torch.full((100,), 0.5), torch.zeros(100, 3, 32, 32)

    def edges(decay: float) -> float:
        mask = FourierMask(decay)(ratio, blank, RandomStream(0))
        return ((mask.diff(dim=2) != 0).sum() / (100 * 32)).item()  # per column

    assert edges(3) == pytest.approx(1.46, abs=0.25)  # measured on a corrected published code: 1.46
    assert edges(5) < edges(3) < edges(1) < edges(0)
    assert edges(0) == pytest.approx(15.5, abs=0.3)  # white noise: half of 31 neighbours differ


def test_gridmix_against_loops() -> None:
    height, width = 32, 28
    share = torch.linspace(0, 1, 60)  # of the partner
    masks = LatticeMask()(1 - share, torch.zeros(60, 3, height, width), RandomStream(7))
    rng = RandomStream(7)
    area, aspect, x, y = (rng.uniform(60).tolist() for _ in range(4))
    across = (2 + rng.integers(5, 60)).tolist()
    for sample in range(60):
        ratio = 0.5 + 1.5 * aspect[sample]
        crop_width = math.sqrt((0.5 + 0.5 * area[sample]) * height * width / ratio)
        crop_height = min(int(crop_width * ratio), height)
        crop_width = min(int(crop_width), width)
        left = int(x[sample] * (width - crop_width + 1))
        top = int(y[sample] * (height - crop_height + 1))
        cell = math.ceil(crop_width / across[sample])
        side = min(max(int(cell * math.sqrt(share[sample])), 1), cell - 1)
        expected = torch.ones(height, width)
        for row in range(crop_height):
            for column in range(crop_width):
                if row % cell < side and column % cell < side:
                    expected[top + row, left + column] = 0
        torch.testing.assert_close(masks[sample, 0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("anisotropic", [False, True])
def test_gaussians_against_their_covariance(anisotropic: bool) -> None:
    """exp(-d' C^-1 d / (2 s^2)), with C rotated as a covariance is: R C R'."""
    height, width, count = 24, 18, 30
    share = torch.linspace(0.02, 0.98, count)  # of the partner
    masks = GaussianMask("area", anisotropic)(1 - share, torch.zeros(count, 3, height, width), RandomStream(2))
    rng = RandomStream(2)
    rows, columns = rng.integers(height, count), rng.integers(width, count)
    identity = torch.eye(2, dtype=torch.float64)
    correlation, angle = torch.zeros(count), torch.zeros(count)
    if anisotropic:
        correlation = 0.95 * (2 * rng.uniform(count, 1, 1, 1).flatten() - 1)
        angle = 2 * math.pi * rng.uniform(count, 1, 1, 1).flatten()
    for n in range(count):
        cosine, sine = math.cos(angle[n]), math.sin(angle[n])
        rotation = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
        covariance = rotation @ (identity + correlation[n].item() * identity.flip(0)) @ rotation.T
        smaller = min(share[n].item(), 1 - share[n].item())
        variance = smaller * height * width / (2 * math.pi * math.sqrt(torch.linalg.det(covariance).item()))
        y, x = torch.meshgrid(torch.arange(height) - rows[n], torch.arange(width) - columns[n], indexing="ij")
        d = torch.stack([x, y], dim=-1).double()
        gaussian = torch.exp(-torch.einsum("hwi,ij,hwj->hw", d, torch.linalg.inv(covariance), d) / (2 * variance))
        expected = 1 - gaussian if share[n] <= 0.5 else gaussian
        torch.testing.assert_close(masks[n, 0].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_full_gaussian_has_the_volume_of_its_share() -> None:
    """Far from the border, GMix's and AGMix's scale keep the ratio, whatever the correlation."""
    rng = RandomStream(0)
    for anisotropic in (False, True):
        partner = 1 - GaussianMask("area", anisotropic)(torch.full((4000,), 0.995), torch.zeros(4000, 1, 96, 96), rng)
        peak = partner.flatten(2).argmax(-1).flatten()
        inside = ((peak // 96 - 48).abs() < 20) & ((peak % 96 - 48).abs() < 20)
        volume = partner.mean((1, 2, 3))[inside]
        torch.testing.assert_close(volume, torch.full_like(volume, 0.005), rtol=2e-3, atol=0)


def test_exact_gaussians_solve_for_the_mean() -> None:
    ratio = torch.linspace(0.005, 0.995, 400)
    for anisotropic in (False, True):
        masks = GaussianMask("exact", anisotropic)(ratio, torch.zeros(400, 3, 32, 32), RandomStream(0))
        torch.testing.assert_close(masks.mean((1, 2, 3)), ratio, atol=1e-5, rtol=0)


def test_saliency_boxes_sit_on_the_most_salient_pixel() -> None:
    partner = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    masks: Tensor = SalientMask()(torch.full((6,), 0.9), partner, RandomStream(0))
    half = int(0.5 * math.sqrt(0.1) * 16)
    for mask, saliency in zip(masks, fine_grained_saliency(partner), strict=True):
        row, column = divmod(int(saliency.argmax()), 16)
        expected = torch.ones(1, 16, 16)
        expected[:, max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 0
        assert torch.equal(mask, expected)


def test_bad_parameters_are_named() -> None:
    for make, name in [
        (lambda: FourierMask(-1), "decay"),
        (lambda: LatticeMask(cells=(0, 3)), "cells"),
        (lambda: LatticeMask(area=(0.9, 0.5)), "area"),
        (lambda: LatticeMask(area=(0.5, 1.5)), "area"),
        (lambda: GaussianMask("wide"), "scale"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(ValueError, match=name):
            make()
    with pytest.raises(ValueError, match=r"cells=\[2, 6\].*8 pixels"):
        LatticeMask().check(8)
