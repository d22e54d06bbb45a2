"""Averages of weights against loops in float64, explicit means and torch's own classes."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from chimeramix.machine import Machine
from chimeramix.streams import RunStreams
from chimeramix.training.averages import EMA, SWA, Average, TrainingAverage
from chimeramix.training.classifier import ClassifierTraining
from tests.training.small import small, trained

CPU = torch.device("cpu")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))


def training_of(model: nn.Module, steps: int) -> Iterator[dict[str, Tensor]]:
    """Moves all weights and running statistics at random; yields them after each step."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.1)
        yield {name: tensor.double() for name, tensor in model.state_dict().items()}


def averaged(rule: Average, steps: int) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """The average, and the weights of which it is made: those before the first step, then after each."""
    model = network()
    average = TrainingAverage(rule, model, steps, RunStreams(0, CPU))
    passed = [{name: tensor.double() for name, tensor in model.state_dict().items()}]
    for weights in training_of(model, steps):
        average.advance()
        passed.append(weights)
    return average.network.state_dict(), passed


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in found.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_ema_is_the_loop_written_out() -> None:
    """Running statistics included."""
    found, (expected, *passed) = averaged(EMA(decay=0.9, warm_up=False), 30)
    for weights in passed:
        expected = {name: 0.9 * expected[name] + 0.1 * weights[name] for name in expected}
    assert_close(found, expected)


def test_ema_is_torchs() -> None:
    model = network()
    ours = TrainingAverage(EMA(decay=0.9, warm_up=False), model, 30, RunStreams(0, CPU))
    torchs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    torchs.update_parameters(model)  # torch's first call copies
    for _ in training_of(model, 30):
        ours.advance()
        torchs.update_parameters(model)
    for name, tensor in ours.network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torchs.module.state_dict()[name], rtol=0, atol=0, msg=name)


def test_ema_forgets_the_first_weights_soon() -> None:
    """The decay is 1/10, 2/11, 3/12, ... up to its limit."""
    found, (expected, *passed) = averaged(EMA(decay=0.5), 30)
    for number, weights in enumerate(passed):
        decay = min(0.5, (1 + number) / (10 + number))
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in expected}
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("start", "interval", "averaged_steps"),
    [
        (0.75, 2, [16, 18, 20]),
        (0.75, 3, [17, 20]),
        (0.9, 50, [20]),
        (0.0, 7, [6, 13, 20]),
        (0.5, 5, [10, 15, 20]),
        (0.99, 1, [20]),
    ],
)
def test_swa_is_the_mean_of_some_weights(start: float, interval: int, averaged_steps: list[int]) -> None:
    """The last step's among them, whatever the interval."""
    found, passed = averaged(SWA(start, interval), 20)
    chosen = [passed[step] for step in averaged_steps]
    assert_close(found, {name: torch.stack([each[name] for each in chosen]).mean(0) for name in found})


def test_swa_is_torchs() -> None:
    model = network()
    ours = TrainingAverage(SWA(start=0.5, interval=5), model, 20, RunStreams(0, CPU))
    torchs = AveragedModel(model, use_buffers=True)
    for step, _ in enumerate(training_of(model, 20), start=1):
        ours.advance()
        if step in (10, 15, 20):
            torchs.update_parameters(model)
    for name, tensor in ours.network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torchs.module.state_dict()[name], msg=name)


def test_swas_statistics_are_those_of_the_images() -> None:
    """The mean over batches of their means and variances, under the averaged weights."""
    model = network()
    average = TrainingAverage(SWA(start=0.0, interval=1), model, 4, RunStreams(0, CPU))
    for _ in training_of(model, 4):
        average.advance()
    batches = [torch.randn(6, 3, 8, 8) for _ in range(3)]
    average.prepare(iter(batches))
    convolution = copy.deepcopy(average.network[0]).double()
    maps = [convolution(batch.double()) for batch in batches]
    statistics: Any = average.network[1]
    means = torch.stack([each.mean((0, 2, 3)) for each in maps]).mean(0)
    variances = torch.stack([each.transpose(0, 1).flatten(1).var(1) for each in maps]).mean(0)
    torch.testing.assert_close(statistics.running_mean.double(), means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics.running_var.double(), variances, rtol=1e-4, atol=1e-5)


def test_before_swa_begins_it_is_the_plain_weights() -> None:
    model = network()
    average = TrainingAverage(SWA(start=0.75, interval=1), model, 100, RunStreams(0, CPU))
    for _ in training_of(model, 10):
        average.advance()
    average.prepare(iter([]))
    for ours, theirs in zip(average.network.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("average", [["average=ema"], ["average=swa", "average.start=0", "average.interval=2"]])
def test_the_training_does_not_depend_on_its_average(average: list[str], tmp_path: Path) -> None:
    """Evaluated after each epoch, with statistics from augmented and mixed images and with dropout."""
    machine = Machine(CPU)
    words = ["model.dropout=0.3", "monitor.evaluate_every=1"]
    weights = []
    for more in ([], average):
        parts = small("classifier", "miamix", machine, tmp_path, *words, *more)
        training = parts.training
        assert isinstance(training, ClassifierTraining)
        for epoch in range(1, 4):
            trained(parts, machine, 1)
            training.end_epoch(epoch)
        weights.append(training.model.state_dict())
        # Checkpoints of plain trainings are those of earlier versions.
        assert set(training.state_dict()) == {"model", "loss", "optimisation", *(["average"] if more else [])}
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert training.average is not None
    assert not all(map(torch.equal, training.average.network.parameters(), training.model.parameters()))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(EMA, {"decay": 1.0}), (EMA, {"decay": -0.1}), (SWA, {"start": 1.0}), (SWA, {"interval": 0})],
)
def test_bad_parameters_are_named(kind: Any, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)
