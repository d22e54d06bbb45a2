"""Training of a classifier, as the loop sees it."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.data.loader import EpochLoader
from chimeramix.files import write_atomically
from chimeramix.machine import Machine
from chimeramix.mixing.base import Mixer
from chimeramix.optimize import Optimisation
from chimeramix.training.evaluation import Evaluation
from chimeramix.training.pictures import draw_confusion
from chimeramix.types import Batch


class ClassifierTraining:
    """Mixes batches, minimises the loss, evaluates on the test set.

    Args:
        model: `[B, 3, S, S]` to logits `[B, K]`.
        loss: `(logits [B, K] float32, targets [B, K]) -> scalar`; may have parameters of its own.
        evaluate: computes the model's metrics on the whole test set.
        evaluate_every: epochs between evaluations; 0 evaluates after the last epoch only. Those in between
            decide nothing: the last epoch's metrics are the result.
        classes: names of the K classes.
    """

    def __init__(
        self,
        model: nn.Module,
        mixer: Mixer,
        loss: nn.Module,
        loader: EpochLoader,
        optimisation: Optimisation,
        epochs: int,
        evaluate: Callable[[nn.Module], Evaluation],
        evaluate_every: int,
        classes: Sequence[str],
        machine: Machine,
        folder: Path,
    ) -> None:
        self.model = model.train()
        self.epochs = epochs
        self.loader = loader
        self._mixer = mixer
        self._loss = loss
        self._optimisation = optimisation
        self._evaluate = evaluate
        self._evaluate_every = evaluate_every
        self._classes = classes
        self._machine = machine
        self._folder = folder

    @property
    def learning_rate(self) -> float:
        return self._optimisation.learning_rate

    def step(self, batch: Batch) -> dict[str, Tensor]:
        with self._machine.autocast():
            with torch.no_grad():
                images, targets = self._mixer.mix(batch)
            logits = self.model(images).float()
        loss = self._loss(logits, targets)
        self._optimisation.minimise(loss)
        agree = logits.detach().argmax(1) == targets.argmax(1)
        return {"loss": loss.detach(), "train_accuracy": agree.float().mean()}

    def advance(self, samples: int) -> None:
        self._optimisation.advance()

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        last = epoch == self.epochs
        if not last and not (self._evaluate_every and epoch % self._evaluate_every == 0):
            return {}
        evaluation = self._evaluate(self._evaluated())
        if last:
            self._write_tables(evaluation)
        return {"test": evaluation.figures()}

    def _evaluated(self) -> nn.Module:
        """The network that is evaluated."""
        return self.model

    def _write_tables(self, evaluation: Evaluation) -> None:
        accuracy = f"test accuracy {100 * evaluation.accuracy:.2f} %"
        draw_confusion(evaluation.confusion, self._classes, self._folder / "confusion.png", accuracy)

        def write(path: Path) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, ["class", "images", "accuracy", "precision"])
                table.writeheader()
                for name, row in zip(self._classes, evaluation.per_class(), strict=True):
                    table.writerow({"class": name, **row})

        write_atomically(self._folder / "per_class.csv", write)

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "loss": self._loss.state_dict(),
            "optimisation": self._optimisation.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._loss.load_state_dict(state["loss"])
        self._optimisation.load_state_dict(state["optimisation"])
