"""Smoothing against torch's pooling, warps against turned and sheared images."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.mixing import MaskAugmentation
from chimeramix.mixing.cutmix import BoxMask
from chimeramix.mixing.rows import replace_rows
from chimeramix.streams import RandomStream


class Given(RandomStream):
    """Hands out values instead of drawing them."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__(0)
        self.values = list(values)

    def uniform(self, *shape: int) -> Tensor:
        return self.values.pop(0).view(shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        return self.values.pop(0).view(shape)


def noise(count: int, height: int, width: int) -> Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("side", "windows"), [(8, [3]), (32, [3, 5, 7]), (64, [3, 5, 7, 9, 11, 13])])
def test_windows(side: int, windows: list[int]) -> None:
    assert MaskAugmentation.windows(side) == windows


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 20)])
def test_smoothing_is_an_average_of_a_window(height: int, width: int) -> None:
    masks = noise(3, height, width)
    smoothed = MaskAugmentation().smooth(masks, Given(torch.tensor([0, 1, 2])))
    for mask, got, window in zip(masks, smoothed, [3, 5, 7], strict=True):
        padded = F.pad(mask[None], [window // 2] * 4, mode="replicate")
        torch.testing.assert_close(got[None], F.avg_pool2d(padded, window, stride=1))


@pytest.mark.parametrize(("turns", "degrees"), [(1, 90), (2, 180), (3, -90)])
def test_quarter_turns(turns: int, degrees: float) -> None:
    masks = noise(2, 9, 9)
    draw = torch.full((2,), (degrees / 180 + 1) / 2)
    warped = MaskAugmentation().warp(masks, Given(draw, torch.full((2,), 0.5)))
    torch.testing.assert_close(warped, torch.rot90(masks, turns, (2, 3)), atol=1e-5, rtol=0)


def test_a_shear_moves_rows_sideways() -> None:
    """With shear 1/2, the row that is y below the centre is read y / 2 columns further right."""
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4] = 1
    warped = MaskAugmentation(shear=0.5).warp(mask, Given(torch.tensor([0.5]), torch.tensor([1.0])))
    for row in range(9):
        place = 4 - (row - 4) / 2
        expected = torch.zeros(9)
        below = math.floor(place)
        expected[below] = 1 - (place - below)
        if place > below:
            expected[below + 1] = place - below
        torch.testing.assert_close(warped[0, 0, row], expected, atol=1e-5, rtol=0)


def test_warps_keep_the_share() -> None:
    """The reason for the border's values: with zeros around, 0.678 would become 0.577."""
    masks = BoxMask()(torch.full((4000,), 0.5), torch.zeros(4000, 3, 32, 32), RandomStream(0))
    warped = MaskAugmentation().warp(masks, RandomStream(1))
    smoothed = MaskAugmentation().smooth(masks, RandomStream(1))
    assert masks.mean().item() == pytest.approx(0.678, abs=0.01)
    assert warped.mean().item() == pytest.approx(0.673, abs=0.012)
    assert smoothed.mean().item() == pytest.approx(masks.mean().item(), abs=0.004)
    assert warped.min() >= 0
    assert warped.max() <= 1 + 1e-6


def test_only_eligible_masks_change_and_as_often_as_asked() -> None:
    masks = noise(4000, 8, 8)
    eligible = torch.arange(4000) % 2 == 0
    changed = MaskAugmentation(0.5, 0.0)(masks, eligible, RandomStream(0)) != masks
    changed = changed.flatten(1).any(1)
    assert not changed[~eligible].any()
    assert changed[eligible].float().mean().item() == pytest.approx(0.5, abs=0.035)
    untouched = MaskAugmentation(0, 0)(masks, eligible, RandomStream(0))
    assert torch.equal(untouched, masks)


def test_on_other_devices_all_rows_are_computed_and_the_same_are_kept() -> None:
    """A tensor without data stands for one on a GPU: its path must not look at which rows are chosen."""
    values, chosen = noise(50, 4, 4), torch.arange(50) % 3 == 0
    on_cpu = replace_rows(values, chosen, lambda rows: values[rows] + 1)
    meta = replace_rows(values.to("meta"), chosen.to("meta"), lambda rows: values.to("meta")[rows] + 1)
    assert meta.shape == on_cpu.shape
    torch.testing.assert_close(on_cpu, torch.where(chosen.view(-1, 1, 1, 1), values + 1, values))


@pytest.mark.parametrize("settings", [{"smoothing": 2}, {"affine": -1}, {"degrees": -5}, {"shear": -1}])
def test_bad_parameters_are_named(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        MaskAugmentation(**settings)
