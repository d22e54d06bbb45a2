"""Figures of a classifier against scikit-learn, schedules against torch's, means against a loop."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation
from chimeramix.training.evaluation import evaluate
from chimeramix.training.metrics import EpochMeans, MetricsFile, read_metrics
from chimeramix.training.schedules import Cosine, MultiStep

CPU = Machine(torch.device("cpu"))


class Lookup(nn.Module):
    """Logits from a table, by the image's pixel value."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.was_training: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.was_training.append(self.training)
        return self.logits[images[:, 0, 0, 0].long()]


@pytest.mark.parametrize(("classes", "absent"), [(10, None), (10, 4), (3, None)])
def test_figures_equal_scikit_learns(classes: int, absent: int | None) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=200)
    if absent is not None:
        labels[labels == absent] = 0
    logits = torch.from_numpy(rng.normal(size=(200, classes))).float()
    logits[np.arange(200), labels] += 1
    images = torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    model = Lookup(logits).train()
    result = evaluate(model, images, torch.from_numpy(labels), classes, lambda x: x.float(), CPU, batch_size=64)

    predicted = logits.argmax(1).numpy()
    every = list(range(classes))
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of the absent class
        assert result.macro_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    k = min(5, classes)
    top = metrics.top_k_accuracy_score(labels, logits.numpy(), k=k, labels=every) if k < classes else 1
    assert result.top5 == pytest.approx(top)
    probabilities = logits.double().softmax(1).numpy()
    assert result.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=every), rel=1e-5)
    confusion = metrics.confusion_matrix(labels, predicted, labels=every)
    assert result.confusion.tolist() == confusion.tolist()
    recall = metrics.recall_score(labels, predicted, labels=every, average=None, zero_division=np.nan)
    precision = metrics.precision_score(labels, predicted, labels=every, average=None, zero_division=np.nan)
    rows = result.per_class()
    np.testing.assert_allclose([row["accuracy"] for row in rows], recall)
    np.testing.assert_allclose([row["precision"] for row in rows], precision)
    assert model.training
    assert model.was_training == [False] * 4


def learning_rates(schedule: object, steps: int) -> list[float]:
    optimisation = Optimisation(
        [nn.Parameter(torch.ones(1))],
        lambda p: torch.optim.SGD(p, lr=0.1),
        schedule,
        steps,
        CPU,  # type: ignore[arg-type]
    )
    rates = []
    for _ in range(steps):
        rates.append(optimisation.learning_rate)
        optimisation.minimise(optimisation._parameters[0].sum())
    return [*rates, optimisation.learning_rate]


def reference_rates(make: object, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_cosine_equals_torchs() -> None:
    expected = reference_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 75), 75)
    assert learning_rates(Cosine(), 75) == pytest.approx(expected, abs=1e-12)
    assert expected[-1] == 0


@pytest.mark.parametrize("steps_per_epoch", [79, 75, 782, 1])
def test_milestones_equal_torchs(steps_per_epoch: int) -> None:
    """Epochs 60, 120 and 160 of 200, stepped per batch: the rate falls at exactly these steps."""
    steps = 200 * steps_per_epoch
    schedule = MultiStep([0.3, 0.6, 0.8], 0.2)
    rates = [0.1 * schedule(step / steps) for step in range(steps)]
    for milestone, before, after in ((60, 0.1, 0.02), (120, 0.02, 0.004), (160, 0.004, 0.0008)):
        step = milestone * steps_per_epoch
        assert rates[step - 1] == pytest.approx(before)
        assert rates[step] == pytest.approx(after)
    if steps_per_epoch == 1:
        expected = reference_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [60, 120, 160], 0.2), 200)
        assert rates == pytest.approx(expected[:-1])


def test_gradients_go_to_the_optimisations_own_parameters() -> None:
    own, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    Optimisation([own], lambda p: torch.optim.SGD(p, lr=0.1), Cosine(), 10, CPU).minimise((own * other).sum())
    assert own.item() == pytest.approx(0.9)
    assert other.grad is None


def test_means_are_weighted_by_samples() -> None:
    means = EpochMeans(CPU.device)
    for value, samples in ((1.0, 10), (2.0, 10), (6.0, 4)):
        means.add({"loss": torch.tensor(value)}, samples)
    assert means.read() == {"loss": pytest.approx((10 + 20 + 24) / 24)}


def test_a_resumed_metrics_file_forgets_what_will_come_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    first.append({"epoch": 1})
    size = first.size
    first.append({"epoch": 2})
    path.write_bytes(path.read_bytes() + b'{"epo')  # killed while writing
    MetricsFile(path, size).append({"epoch": 2, "again": True})
    assert read_metrics(path) == [{"epoch": 1}, {"epoch": 2, "again": True}]
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]
