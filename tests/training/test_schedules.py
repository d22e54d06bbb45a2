"""Schedules against torch's own, over every step of a training."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

from chimeramix.training.schedules import Cosine, MultiStep, WarmUp


def torch_factors(make: Callable[[torch.optim.Optimizer], LRScheduler], steps: int) -> list[float]:
    """Factors before the first step and after each."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = make(optimizer)
    factors = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        factors.append(optimizer.param_groups[0]["lr"])
    return factors


@pytest.mark.parametrize("steps", [1, 7, 500])
def test_cosine_equals_torchs(steps: int) -> None:
    schedule = Cosine()
    ours = [schedule(step / steps) for step in range(steps + 1)]
    # torch's rate goes from step to step by a recurrence, so rounding adds up there.
    assert ours == pytest.approx(torch_factors(lambda o: CosineAnnealingLR(o, steps), steps), abs=1e-12)
    assert (ours[0], ours[-1]) == (1, 0)


def test_cosine_by_hand() -> None:
    assert [Cosine()(share) for share in (0, 1 / 3, 0.5, 2 / 3, 1)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 38, 79, 782])
def test_milestones_equal_torchs(steps_per_epoch: int) -> None:
    """Epochs 60, 120 and 160 of 200, stepped per batch: the rate falls at exactly these steps."""
    steps = 200 * steps_per_epoch
    milestones = [epoch * steps_per_epoch for epoch in (60, 120, 160)]
    schedule = MultiStep([0.3, 0.6, 0.8], 0.2)
    ours = [schedule(step / steps) for step in range(steps + 1)]
    falls = [step for step in range(1, steps + 1) if ours[step] != ours[step - 1]]
    assert falls == milestones
    if steps <= 20_000:  # torch takes a second for more
        assert ours == pytest.approx(torch_factors(lambda o: MultiStepLR(o, milestones, 0.2), steps), rel=1e-12)


def test_milestones_keep_their_place_in_any_length() -> None:
    """For every number of epochs divisible by 10, shares of tenths fall on whole epochs, without rounding."""
    for tenths in range(1, 10):
        schedule = MultiStep([tenths / 10], 0.5)
        for epochs in range(10, 1000, 10):
            at = tenths * epochs // 10
            assert (schedule((at - 1) / epochs), schedule(at / epochs)) == (1, 0.5)


@pytest.mark.parametrize("milestones", [[0.0], [1.0], [0.3, 60], [-0.1]])
def test_milestones_are_shares(milestones: list[float]) -> None:
    with pytest.raises(ValueError, match="milestones must be shares of the training between 0 and 1"):
        MultiStep(milestones, 0.2)


@pytest.mark.parametrize("factor", [0, -0.2])
def test_factors_are_positive(factor: float) -> None:
    with pytest.raises(ValueError, match="factor must be positive"):
        MultiStep([0.5], factor)


@pytest.mark.parametrize("steps", [20, 500])
def test_warm_up_equals_torchs(steps: int) -> None:
    """A tenth of the steps rises from 0.01, the others are a cosine of their own."""
    rise = steps // 10

    def make(optimizer: torch.optim.Optimizer) -> LRScheduler:
        parts = [LinearLR(optimizer, 0.01, total_iters=rise), CosineAnnealingLR(optimizer, steps - rise)]
        return SequentialLR(optimizer, parts, [rise])

    schedule = WarmUp(Cosine(), share=0.1)
    assert [schedule(step / steps) for step in range(steps + 1)] == pytest.approx(torch_factors(make, steps), abs=1e-12)


@pytest.mark.parametrize(("share", "start"), [(0, 0.01), (1, 0.01), (0.1, -0.1), (0.1, 2)])
def test_a_warm_up_is_a_share_and_a_factor(share: float, start: float) -> None:
    with pytest.raises(ValueError, match=r"(share|start) must be"):
        WarmUp(Cosine(), share, start)
