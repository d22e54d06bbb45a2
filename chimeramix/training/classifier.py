"""Training of a classifier, as the loop sees it."""

import csv
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from chimeramix.data.loader import EpochLoader
from chimeramix.files import write_atomically
from chimeramix.machine import Machine
from chimeramix.mixing.base import Mixer
from chimeramix.optimize import Optimisation
from chimeramix.training.averages import TrainingAverage
from chimeramix.training.batch_norm import frozen_statistics
from chimeramix.training.evaluation import Evaluation, Evaluator
from chimeramix.training.pictures import draw_confusion
from chimeramix.types import Batch

_Own = TypeVar("_Own", bound="ClassifierTraining")


@dataclass(kw_only=True, eq=False)
class ClassifierTraining:
    """A classifier's `Training` (see `chimeramix.training.loop`): mixes batches, minimises the loss, evaluates.

    Attributes:
        model: `[B, 3, S, S]` to logits `[B, K]`.
        loss: `(logits [B, K] float32, targets [B, K]) -> scalar`; may have parameters of its own.
        evaluator: the test set, or held-out images.
        evaluate_every: epochs between evaluations; 0 evaluates after the last epoch only. Those in between
            decide nothing: the last epoch's metrics are the result.
        folder: of the run, for tables and pictures.
        predictions: the file for what the result's network predicts of each image; see `Evaluator.save`.
        sharpness: radius of sharpness-aware minimisation; None for plain steps.
        average: of the model's weights; None for none.
        median_of: so many last epochs are evaluated whatever `evaluate_every` says, and the median of their accuracies
            stands beside the last epoch's metrics; of fewer epochs, all. None for no median.
    """

    model: nn.Module
    mixer: Mixer
    loss: nn.Module
    loader: EpochLoader
    optimisation: Optimisation
    evaluator: Evaluator
    epochs: int
    evaluate_every: int
    machine: Machine
    folder: Path
    predictions: Path
    sharpness: float | None = None
    average: TrainingAverage | None = None
    median_of: int | None = None

    @classmethod
    def instead_of(cls: type[_Own], plain: "ClassifierTraining", **own: Any) -> _Own:
        """With the parts of a plain training, and what a procedure's own one has besides."""
        return cls(**{field.name: getattr(plain, field.name) for field in fields(ClassifierTraining)}, **own)

    def __post_init__(self) -> None:
        self.model.train()
        self._last_accuracies: list[float] = []

    @property
    def learning_rate(self) -> float:
        return self.optimisation.learning_rate

    @property
    def passes(self) -> tuple[int, int]:
        """How often a step sends an image through the model for each of its batch: forward and backward, and forward
        alone."""
        return 1 if self.sharpness is None else 2, 0

    def beside(self, model: nn.Module, images: Tensor) -> None:
        """What a step computes beside those passes, for images of a batch `[B, 3, S, S]` and a fresh model on their
        device, of which nothing need be kept: so that it can be counted."""

    def step(self, batch: Batch) -> dict[str, Tensor]:
        with self.machine.autocast(), torch.no_grad():
            images, targets = self.mixer.mix(batch)
        logits, loss = self._passed(images, targets)
        if self.sharpness is None:
            self.optimisation.minimise(loss)
        else:
            with frozen_statistics(self.model, self.loss):
                self.optimisation.minimise_around(loss, lambda: self._passed(images, targets)[1], self.sharpness)
        agree = logits.detach().argmax(1) == targets.argmax(1)
        return {"loss": loss.detach(), "train_accuracy": agree.float().mean()}

    def _passed(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and loss of a mixed batch."""
        with self.machine.autocast():
            logits = self.model(images).float()
        return logits, self.loss(logits, targets)

    def advance(self, samples: int) -> None:
        self.optimisation.advance()
        if self.average is not None:
            self.average.advance()

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        last = epoch == self.epochs
        in_median = self.median_of is not None and epoch > self.epochs - self.median_of
        if not last and not in_median and not (self.evaluate_every and epoch % self.evaluate_every == 0):
            return {}
        if self.average is not None and (last or self.outcome is self.average.network):
            with self.machine.autocast(), torch.no_grad():
                self.average.prepare(self._mixed_images())
        evaluations = {
            variant_name(weights, views): evaluation
            for weights, network in self.networks.items()
            if last or network is self.outcome
            for views, evaluation in self.evaluator(network).items()
        }
        result = evaluations[variant_name(self.outcome_name, self.evaluator.views)]
        metrics = result.metrics()
        if in_median:
            self._last_accuracies.append(result.accuracy)
            if last:
                metrics["accuracy_median"] = statistics.median(self._last_accuracies)
        record: dict[str, Any] = {self.evaluator.part: metrics}
        if last:
            self._write_tables(result)
            self.evaluator.save(result, self.predictions)
            if len(evaluations) > 1:
                record["variants"] = {name: each.metrics() for name, each in evaluations.items()}
        return record

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Those that are evaluated at the end, by the name of their weights in records."""
        averaged = {} if self.average is None else {self.average.rule.name: self.average.network}
        return {"plain": self.model, **averaged}

    @property
    def outcome_name(self) -> str:
        """Which of the networks is the result: its weights, and its figures."""
        return self.average.rule.name if self.average is not None and self.average.rule.result == "average" else "plain"

    @property
    def outcome(self) -> nn.Module:
        return self.networks[self.outcome_name]

    def _mixed_images(self) -> Iterator[Tensor]:
        """An epoch's images as the training sees them."""
        for index, labelled in self.loader.positions():
            yield self.mixer.mix(self.loader.batch(index, labelled))[0]

    def _write_tables(self, evaluation: Evaluation) -> None:
        accuracy = f"{self.evaluator.part} accuracy {100 * evaluation.accuracy:.2f} %"
        classes = self.evaluator.classes
        draw_confusion(evaluation.confusion, classes, self.folder / "confusion.png", accuracy)

        def write(path: Path) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, ["class", "images", "accuracy", "precision"])
                table.writeheader()
                for name, row in zip(classes, evaluation.per_class(), strict=True):
                    table.writerow({"class": name, **row})

        write_atomically(self.folder / "per_class.csv", write)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimisation": self.optimisation.state_dict(),
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        if self.median_of is not None:
            state["last_accuracies"] = list(self._last_accuracies)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimisation.load_state_dict(state["optimisation"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.median_of is not None:
            self._last_accuracies = list(state["last_accuracies"])


def variant_name(weights: str, views: str) -> str:
    """What records call an evaluation: `plain`, `flip`, `ema`, `ema+flip`."""
    return "+".join(name for name in (weights, views) if name != "plain") or "plain"
