"""Figures of a classifier against scikit-learn's."""

import io
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from chimeramix.config.schema import EvaluationConfig
from chimeramix.machine import Machine
from chimeramix.training.evaluation import VIEWS, Evaluation, Evaluator, evaluate

CPU = Machine(torch.device("cpu"))
COUNT = 200


class Lookup(nn.Module):
    """Logits from a table, by the image's pixel value; dropout would spoil them in training mode."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.dropout = nn.Dropout(0.9)
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append(len(images))
        return self.dropout(self.logits[(255 * images[:, 0, 0, 0]).round().long()])


def example(classes: int, absent: int | None = None) -> tuple[Tensor, Tensor, Lookup]:
    """200 images, each of its own pixel value; labels, of which class `absent` has none; a classifier that is often
    right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=COUNT)
    if absent is not None:
        labels[labels == absent] = (absent + 1) % classes
    logits = torch.from_numpy(rng.normal(size=(COUNT, classes))).float()
    logits[np.arange(COUNT), labels] += 1
    images = torch.arange(COUNT, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    return images, torch.from_numpy(labels), Lookup(logits)


def result_of(images: Tensor, labels: Tensor, model: Lookup, batch_size: int = 64) -> Evaluation:
    classes = model.logits.shape[1]
    return evaluate(model, images, labels, classes, lambda pixels: pixels.float() / 255, CPU, batch_size)["plain"]


@pytest.mark.parametrize(("classes", "absent"), [(10, None), (10, 4), (5, None), (6, 5), (3, None), (2, None)])
def test_figures_equal_scikit_learns(classes: int, absent: int | None) -> None:
    images, labels, model = example(classes, absent)
    result = result_of(images, labels, model)
    predicted, every = model.logits.argmax(1), list(range(classes))
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")  # the absent class
        assert result.macro_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    # scikit-learn wants fewer than all classes, where every label is among the highest.
    top5 = 1.0
    if classes == 2:
        assert result.accuracy < 1
    elif classes > 5:
        top5 = float(metrics.top_k_accuracy_score(labels, model.logits, k=5, labels=every))
        assert result.accuracy < top5 < 1
    assert result.top5 == pytest.approx(top5)
    probabilities = model.logits.double().softmax(1)
    assert result.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=every), rel=1e-6)
    assert result.confusion.tolist() == metrics.confusion_matrix(labels, predicted, labels=every).tolist()
    assert result.confusion.dtype == torch.int64
    assert result.metrics() == {
        "accuracy": result.accuracy,
        "top5": result.top5,
        "macro_accuracy": result.macro_accuracy,
        "loss": result.loss,
    }


@pytest.mark.parametrize("absent", [None, 4])
def test_figures_of_each_class_equal_scikit_learns(absent: int | None) -> None:
    images, labels, model = example(10, absent)
    model.logits[:, 7] = -10  # class 7 is never predicted: it has no precision
    rows = result_of(images, labels, model).per_class()
    predicted, every = model.logits.argmax(1), list(range(10))
    for name, score in (("accuracy", metrics.recall_score), ("precision", metrics.precision_score)):
        expected = score(labels, predicted, labels=every, average=None, zero_division=np.nan)
        np.testing.assert_allclose([row[name] for row in rows], expected)
    assert [row["images"] for row in rows] == np.bincount(labels, minlength=10).tolist()
    assert math.isnan(rows[7]["precision"])
    if absent is not None:
        assert math.isnan(rows[absent]["accuracy"])


def test_a_worked_example() -> None:
    """Labels 0 0 0 1 and predictions 0 0 1 1: 3 of 4 right, in the classes 2/3 and 1."""
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    result = result_of(images, torch.tensor([0, 0, 0, 1]), Lookup(logits))
    assert result.accuracy == 3 / 4
    assert result.macro_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert result.confusion.tolist() == [[2, 1], [0, 1]]
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert result.loss == pytest.approx((3 * right + wrong) / 4)


@pytest.mark.parametrize("batch_size", [1, 64, 200, 500])
def test_batches_change_nothing(batch_size: int) -> None:
    images, labels, model = example(10)
    expected = result_of(images, labels, model, batch_size=COUNT)
    model.batches.clear()
    result = result_of(images, labels, model, batch_size)
    assert sum(model.batches) == COUNT
    assert max(model.batches) == min(batch_size, COUNT)
    assert result.confusion.tolist() == expected.confusion.tolist()
    assert result.metrics() == pytest.approx(expected.metrics(), rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_evaluated_in_eval_mode_and_put_back(training: bool) -> None:
    images, labels, model = example(10)
    before = result_of(images, labels, model.eval())
    model.train(training)
    assert result_of(images, labels, model).metrics() == before.metrics()
    assert model.training == training
    assert model.dropout.training == training


class Linear(nn.Module):
    """Counts how often it is called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3 * 16 * 16, 4)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(images.flatten(1))


def shifted(images: Tensor, left: int, top: int) -> Tensor:
    return vision.crop(vision.pad(images, [1, 1], padding_mode="reflect"), top, left, 16, 16)


@pytest.mark.parametrize(("views", "count"), [("flip", 2), ("flip_shift", 6)])
def test_views_probabilities_are_averaged(views: str, count: int) -> None:
    """With torchvision's flips, paddings and crops; images of 16 pixels are shifted by one."""
    images = torch.randint(256, (50, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels, model = torch.arange(50) % 4, Linear()

    def normalize(pixels: Tensor) -> Tensor:
        return pixels.float() / 255

    found = evaluate(model, images, labels, 4, normalize, CPU, 20, views)
    assert model.calls == 3 * count
    alone = evaluate(model, images, labels, 4, normalize, CPU, 20)["plain"]
    assert found["plain"].metrics() == alone.metrics()  # the plain view is one of them
    shown = [images] if views == "flip" else [images, shifted(images, 0, 0), shifted(images, 2, 2)]
    shown += [vision.horizontal_flip(each) for each in shown]
    with torch.no_grad():
        probabilities = torch.stack([model(normalize(each)).double().softmax(1) for each in shown]).mean(0)
    assert found[views].loss == pytest.approx(-probabilities.log()[range(50), labels].mean().item(), rel=1e-5)
    assert found[views].accuracy == (probabilities.argmax(1) == labels).double().mean()
    expected = probabilities.log() - probabilities.log().amax(1, keepdim=True)
    torch.testing.assert_close(found[views].logits.double(), expected, rtol=1e-3, atol=1e-5)


def test_the_configuration_knows_all_views() -> None:
    assert EvaluationConfig.__dataclass_fields__["views"].metadata["choices"] == VIEWS


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 30.0])
def test_kept_logits_give_the_predictions_and_probabilities(scale: float) -> None:
    """In float16, whose steps are much wider than these differences."""
    images, labels, model = example(10)
    model.logits = model.logits * scale + 5 * scale
    model.logits[3] = 1.0  # a draw of all classes
    kept = result_of(images, labels, model).logits
    assert kept.dtype == torch.float16
    assert kept.argmax(1).tolist() == model.logits.argmax(1).tolist()
    assert (kept == 0).sum(1).tolist() == [1] * COUNT
    torch.testing.assert_close(kept.float().softmax(1), model.logits.softmax(1), rtol=0, atol=1e-3)


def test_predictions_are_kept_in_a_file(tmp_path: Path) -> None:
    images, labels, model = example(10)
    positions = torch.randperm(COUNT).tolist()
    evaluator = Evaluator("validation", positions, images, labels, "0123456789", lambda pixels: pixels / 255, CPU)
    result = evaluator(model)["plain"]
    evaluator.save(result, tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz") as file:
        assert str(file["part"]) == "validation"
        assert file["positions"].tolist() == positions
        assert file["labels"].tolist() == labels.tolist()
        assert {name: file[name].dtype for name in ("logits", "labels", "positions")} == {
            "logits": np.float16,
            "labels": np.int64,
            "positions": np.int64,
        }
        assert (file["logits"].argmax(1) == file["labels"]).mean() == result.accuracy


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "seconds", "shown"), [(Terminal(), 0.0, True), (Terminal(), 2.0, False), (io.StringIO(), 0.0, False)]
)
def test_a_long_evaluation_shows_how_far_it_is_on_a_terminal(
    stderr: io.StringIO, seconds: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr("chimeramix.training.evaluation._SECONDS_UNTIL_BAR", seconds)
    result_of(*example(3))
    assert ("evaluation" in stderr.getvalue()) == shown
