"""A classifier's metrics on a whole labelled set, and its predictions there.

At test time an image may be shown in several views, whose probabilities are averaged (`VIEWS`).
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm import tqdm

from chimeramix.files import write_atomically
from chimeramix.machine import Machine

VIEWS = ("plain", "flip", "flip_shift")
"""The image; it and its mirror image; both, and both shifted along two diagonals."""

_SECONDS_UNTIL_BAR = 2.0


@dataclass(frozen=True)
class Evaluation:
    """Metrics over M images of K classes.

    Attributes:
        loss: mean cross entropy in nats.
        accuracy: share of images whose highest logit is the label's, in [0, 1].
        top5: share of images whose label is among the five highest logits (all, where K < 5).
        macro_accuracy: mean over classes of the accuracy within the class; classes without images do not count.
        confusion: `[K, K]` int64 on the CPU, rows are labels, columns are predictions.
        logits: `[M, K]` float16 on the CPU, each row less its maximum: 0 for the prediction, and below 0 for all other
            classes. Of averaged views, the logarithm of the mean probability.
    """

    loss: float
    accuracy: float
    top5: float
    macro_accuracy: float
    confusion: Tensor
    logits: Tensor

    def metrics(self) -> dict[str, float]:
        return {
            "accuracy": self.accuracy,
            "top5": self.top5,
            "macro_accuracy": self.macro_accuracy,
            "loss": self.loss,
        }

    def per_class(self) -> list[dict[str, float]]:
        """For each class: its images, accuracy (recall) and precision; NaN where there is nothing to divide by."""
        correct, images = self.confusion.diagonal().double(), self.confusion.sum(1)
        predicted = self.confusion.sum(0)
        rows = zip(images.tolist(), (correct / images).tolist(), (correct / predicted).tolist(), strict=True)
        return [{"images": n, "accuracy": recall, "precision": precision} for n, recall, precision in rows]


class _Tally:
    """Collects an `Evaluation`, batch by batch, on the device."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._num_classes = num_classes
        self._loss = torch.zeros((), device=device)
        self._in_top5 = torch.zeros((), dtype=torch.int64, device=device)
        self._confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
        self._logits: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Logits `[B, K]` float32, labels `[B]` int64."""
        self._loss += F.cross_entropy(logits, labels, reduction="sum")
        highest = logits.topk(min(5, self._num_classes), dim=1).indices
        self._in_top5 += (highest == labels[:, None]).sum()
        predicted = logits.argmax(1)
        self._confusion.index_add_(0, labels * self._num_classes + predicted, torch.ones_like(labels))
        self._logits.append(_rounded(logits, predicted))

    def evaluation(self) -> Evaluation:
        confusion = self._confusion.view(self._num_classes, -1).cpu()
        correct, images = confusion.diagonal(), confusion.sum(1)
        count = int(images.sum())
        recalls = correct[images > 0].double() / images[images > 0]
        return Evaluation(
            loss=float(self._loss) / count,
            accuracy=int(correct.sum()) / count,
            top5=int(self._in_top5) / count,
            macro_accuracy=float(recalls.mean()),
            confusion=confusion,
            logits=torch.cat(self._logits).cpu(),
        )


def _rounded(logits: Tensor, predicted: Tensor) -> Tensor:
    """`Evaluation.logits`. The other classes of a draw, or of what float16 rounds to one, get the value next to 0, so
    that the highest is the prediction."""
    below = (logits - logits.amax(1, keepdim=True)).half()
    others = predicted[:, None] != torch.arange(logits.shape[1], device=logits.device)
    return below.masked_fill((below == 0) & others, -torch.finfo(torch.float16).smallest_normal * 2**-10)


def views_of(images: Tensor, views: str) -> Iterator[Tensor]:
    """Views of normalised images `[B, 3, S, S]`, themselves first; see `VIEWS`.

    Shifts are S // 16 pixels (2 of 32), about as far as random crops shift an image on average, and what comes in is
    reflected, as theirs. Six views, as Keller Jordan's airbench takes, and not the ten of Krizhevsky et al. (2012):
    time grows with their number.
    """
    yield images
    if views == "plain":
        return
    yield images.flip(3)
    if views == "flip_shift":
        size = images.shape[-1]
        shift = max(1, size // 16)
        padded = F.pad(images, [shift] * 4, mode="reflect")
        for place in (0, 2 * shift):
            shifted = padded[..., place : place + size, place : place + size]
            yield shifted
            yield shifted.flip(3)


def averaged(logits: Sequence[Tensor]) -> Tensor:
    """Of several views' logits `[B, K]` the logarithm of the mean probability; those of a single one as they are."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack(list(logits)).log_softmax(2).logsumexp(0) - math.log(len(logits))


def batch_size_on(device: torch.device) -> int:
    """Images at a time: 500, and 100 on a CPU, which is as fast there and saves 2 GB."""
    return 100 if device.type == "cpu" else 500


@torch.no_grad()
@parametrize.cached()  # weights stay as they are: kernels that are made of others (harmonic ones) are made once
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    normalize: Callable[[Tensor], Tensor],
    machine: Machine,
    batch_size: int | None = None,
    views: str = "plain",
) -> dict[str, Evaluation]:
    """Evaluates in eval mode, without augmentation, and restores the model's mode afterwards.

    Args:
        images: `[M, 3, S, S]` uint8 on the model's device.
        labels: `[M]` int64 on the same device.
        batch_size: None takes `batch_size_on` the device.
        views: one of `VIEWS`.

    Returns:
        By the name of the views: of the plain one, and of the averaged ones, if there are several.
    """
    batch_size = batch_size or batch_size_on(machine.device)
    was_training = model.training
    model.eval()
    tallies = {name: _Tally(num_classes, labels.device) for name in dict.fromkeys(("plain", views))}
    # On a terminal, where it takes longer than a look.
    starts = tqdm(
        range(0, len(images), batch_size),
        "evaluation",
        unit="batch",
        leave=False,
        delay=_SECONDS_UNTIL_BAR,
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
    )
    for start in starts:
        target = labels[start : start + batch_size]
        with machine.autocast():
            pixels = normalize(images[start : start + batch_size])
            logits = [model(view).float() for view in views_of(pixels, views)]
        tallies["plain"].add(logits[0], target)
        if views != "plain":
            tallies[views].add(averaged(logits), target)
    model.train(was_training)
    return {name: tally.evaluation() for name, tally in tallies.items()}


@dataclass(frozen=True)
class Evaluator:
    """A labelled set on which networks are evaluated.

    Attributes:
        part: what the set is, `test` or `validation`; records name its metrics so.
        positions: of the images in that part, or of held-out ones in the training part.
        images: `[M, 3, S, S]` uint8 on the machine's device.
        labels: `[M]` int64 on the same device.
        classes: names of the K classes.
        normalize: from uint8 pixels to what networks take.
        views: in which each image is shown, one of `VIEWS`.
    """

    part: str
    positions: Sequence[int]
    images: Tensor
    labels: Tensor
    classes: Sequence[str]
    normalize: Callable[[Tensor], Tensor]
    machine: Machine
    views: str = "plain"

    def __call__(self, model: nn.Module) -> dict[str, Evaluation]:
        """See `evaluate`."""
        arguments = self.images, self.labels, len(self.classes), self.normalize, self.machine
        return evaluate(model, *arguments, views=self.views)

    def save(self, evaluation: Evaluation, path: Path) -> None:
        """Writes what was predicted, for figures and ensembles without a GPU: `logits` `[M, K]` float16 (see
        `Evaluation`), `labels` and `positions` `[M]` int64, and `part`, a text."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:  # given a path, NumPy would lengthen its name
                np.savez(
                    file,
                    logits=evaluation.logits.numpy(),
                    labels=self.labels.cpu().numpy(),
                    positions=np.asarray(self.positions, dtype=np.int64),
                    part=np.array(self.part),
                )

        write_atomically(path, write)
