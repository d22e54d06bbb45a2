"""Training of a classifier, as the loop sees it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.data.loader import EpochLoader
from chimeramix.files import write_atomically
from chimeramix.machine import Machine
from chimeramix.mixing.base import Mixer
from chimeramix.optimize import Optimisation
from chimeramix.training.evaluation import Evaluation, Evaluator
from chimeramix.training.pictures import draw_confusion
from chimeramix.types import Batch


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

    def __post_init__(self) -> None:
        self.model.train()

    @property
    def learning_rate(self) -> float:
        return self.optimisation.learning_rate

    def step(self, batch: Batch) -> dict[str, Tensor]:
        with self.machine.autocast():
            with torch.no_grad():
                images, targets = self.mixer.mix(batch)
            logits = self.model(images).float()
        loss = self.loss(logits, targets)
        self.optimisation.minimise(loss)
        agree = logits.detach().argmax(1) == targets.argmax(1)
        return {"loss": loss.detach(), "train_accuracy": agree.float().mean()}

    def advance(self, samples: int) -> None:
        self.optimisation.advance()

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        last = epoch == self.epochs
        if not last and not (self.evaluate_every and epoch % self.evaluate_every == 0):
            return {}
        evaluation = self.evaluator(self._evaluated())
        if last:
            self._write_tables(evaluation)
        return {self.evaluator.part: evaluation.metrics()}

    def _evaluated(self) -> nn.Module:
        """The network that is evaluated."""
        return self.model

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
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimisation": self.optimisation.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimisation.load_state_dict(state["optimisation"])
