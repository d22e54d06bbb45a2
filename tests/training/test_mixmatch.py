"""MixMatch's parts by hand, and a step against the loss written out."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chimeramix.data.loader import EpochLoader
from chimeramix.data.views import Normalize, Views
from chimeramix.losses import SoftTargetCrossEntropy
from chimeramix.machine import Machine
from chimeramix.mixing import Identity
from chimeramix.optimize import Optimisation
from chimeramix.streams import RandomStream
from chimeramix.training.evaluation import Evaluator
from chimeramix.training.mixmatch import MixMatch, MixMatchTraining
from chimeramix.training.schedules import Constant
from chimeramix.types import Subset

CPU = Machine(torch.device("cpu"))


def views(count: int, seed: int) -> Views:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    subset = Subset(images, torch.arange(count) % 4, 4)
    normalize = Normalize([0.5] * 3, [0.5] * 3, CPU.device)
    return Views(subset, lambda images, segments, rng: (images, segments), normalize, RandomStream(0))


def made(model: nn.Module, tmp_path: Path, rate: float = 0.1, **settings: Any) -> MixMatchTraining:
    loader = EpochLoader(views(12, 0), 6, 1, RandomStream(1))
    optimisation = Optimisation(model.parameters(), partial(torch.optim.SGD, lr=rate), Constant(), 10, CPU)
    nothing = Evaluator("test", [], torch.zeros(0), torch.zeros(0), ["a", "b", "c", "d"], lambda images: images, CPU)
    return MixMatchTraining(
        model=model,
        mixer=Identity(4),
        loss=SoftTargetCrossEntropy(),
        loader=loader,
        optimisation=optimisation,
        evaluator=nothing,
        epochs=1,
        evaluate_every=0,
        machine=CPU,
        folder=tmp_path,
        predictions=tmp_path / "predictions.npz",
        algorithm=MixMatch(**settings),
        unlabelled=views(30, 1),
        rng=RandomStream(2),
    )


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))


def test_sharpening() -> None:
    """Temperature 1/2 squares: (0.6, 0.3, 0.1) becomes (36, 9, 1) / 46."""
    guess = MixMatch().sharpen(torch.tensor([[0.6, 0.3, 0.1]]))
    torch.testing.assert_close(guess, torch.tensor([[36.0, 9.0, 1.0]]) / 46)


def test_the_weight_rises_with_the_labelled_images() -> None:
    algorithm = MixMatch(weight=75, ramp_images=1000)
    assert [algorithm.weight_after(seen) for seen in (0, 500, 1000, 5000)] == [0, 37.5, 75, 75]


def test_a_step_is_the_papers_loss(tmp_path: Path) -> None:
    """Without batch normalisation interleaving changes nothing; draws are those of a stream of the same seed."""
    model = linear()
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in model[1].parameters())
    training = made(model, tmp_path, weight=30, ramp_images=100)
    training.advance(50)
    batch = next(iter(training.loader))
    losses = training.step(batch)

    rng = RandomStream(2)
    index = rng.integers(30, 6)
    unlabelled = views(30, 1).plain(index).images
    x = torch.cat([batch.images, unlabelled, unlabelled])
    guess = F.linear(unlabelled.flatten(1), weight, bias).softmax(1).detach() ** 2
    guess = guess / guess.sum(1, keepdim=True)
    y = torch.cat([torch.eye(4)[batch.labels], guess, guess])
    ratio = rng.beta(0.75, 18)
    ratio = torch.maximum(ratio, 1 - ratio)[:, None]
    order = rng.permutation(18)
    mixed = ratio * x.flatten(1) + (1 - ratio) * x.flatten(1)[order]
    target = ratio * y + (1 - ratio) * y[order]
    logits = F.linear(mixed, weight, bias)
    supervised = -(target[:6] * logits[:6].log_softmax(1)).sum(1).mean()
    squared = ((logits[6:].softmax(1) - target[6:]) ** 2).mean()
    torch.testing.assert_close(losses["loss"], supervised.detach())
    torch.testing.assert_close(losses["unlabelled_loss"], squared.detach())
    (supervised + 15 * squared).backward()
    assert weight.grad is not None
    torch.testing.assert_close(model[1].weight.detach(), weight.detach() - 0.1 * weight.grad, atol=1e-6, rtol=1e-4)


def test_interleaved_batches_hold_a_third_of_each_kind(tmp_path: Path) -> None:
    """The model sees which rows stand together; the logits come back in their order."""

    class Recorder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.seen: list[list[int]] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(images[:, 0, 0, 0].int().tolist())
            return images[:, 0, 0].float() + 0 * self.weight

    model = Recorder()
    training = made(model, tmp_path)
    images = torch.arange(18.0).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    logits = training._interleaved(images)
    assert logits[:, 0].tolist() == list(range(18))
    assert [sorted(number // 6 for number in batch) for batch in model.seen] == [[0, 0, 1, 1, 2, 2]] * 3
    assert model.seen[0] == [0, 1, 8, 9, 16, 17]


def test_running_statistics_follow_the_first_batch_only(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4)).train()
    twin = copy.deepcopy(model)
    training = made(model, tmp_path)
    images = torch.randn(18, 3, 8, 8)
    training._interleaved(images)
    twin(images[[0, 1, 8, 9, 16, 17]])
    torch.testing.assert_close(model[0].running_mean, twin[0].running_mean)
    torch.testing.assert_close(model[0].running_var, twin[0].running_var)
    assert model[0].momentum == 0.1


def test_the_evaluated_weights_are_a_moving_average(tmp_path: Path) -> None:
    model = linear()
    start = model[1].weight.detach().clone()
    training = made(model, tmp_path, average=0.75)
    expected = start.clone()
    for batch in training.loader:
        training.step(batch)
        expected = 0.75 * expected + 0.25 * model[1].weight.detach()
    assert not torch.equal(start, model[1].weight.detach())
    averaged = training.outcome.state_dict()["1.weight"]
    torch.testing.assert_close(averaged, expected)


@pytest.mark.parametrize(
    "settings",
    [{"unlabelled": -1}, {"alpha": 0.0}, {"temperature": 0.0}, {"weight": -1.0}, {"ramp_images": 0}, {"average": 1.0}],
)
def test_bad_parameters_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        MixMatch(**settings)
