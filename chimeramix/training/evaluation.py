"""A classifier's metrics on a whole labelled set."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from chimeramix.machine import Machine

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
    """

    loss: float
    accuracy: float
    top5: float
    macro_accuracy: float
    confusion: Tensor

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


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    normalize: Callable[[Tensor], Tensor],
    machine: Machine,
    batch_size: int | None = None,
) -> Evaluation:
    """Evaluates in eval mode, without augmentation, and restores the model's mode afterwards.

    Args:
        images: `[M, 3, S, S]` uint8 on the model's device.
        labels: `[M]` int64 on the same device.
        batch_size: None takes 500, and 100 on a CPU, which is as fast there and saves 2 GB.
    """
    batch_size = batch_size or (100 if machine.device.type == "cpu" else 500)
    was_training = model.training
    model.eval()
    loss = torch.zeros((), device=labels.device)
    in_top5 = torch.zeros((), dtype=torch.int64, device=labels.device)
    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=labels.device)
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
            logits = model(normalize(images[start : start + batch_size])).float()
        loss += F.cross_entropy(logits, target, reduction="sum")
        highest = logits.topk(min(5, num_classes), dim=1).indices
        in_top5 += (highest == target[:, None]).sum()
        confusion.index_add_(0, target * num_classes + logits.argmax(1), torch.ones_like(target))
    model.train(was_training)

    confusion = confusion.view(num_classes, num_classes).cpu()
    correct, count = confusion.diagonal(), confusion.sum(1)
    recalls = correct[count > 0].double() / count[count > 0]
    return Evaluation(
        loss=float(loss) / len(images),
        accuracy=int(correct.sum()) / len(images),
        top5=int(in_top5) / len(images),
        macro_accuracy=float(recalls.mean()),
        confusion=confusion,
    )


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
    """

    part: str
    positions: Sequence[int]
    images: Tensor
    labels: Tensor
    classes: Sequence[str]
    normalize: Callable[[Tensor], Tensor]
    machine: Machine

    def __call__(self, model: nn.Module) -> Evaluation:
        return evaluate(model, self.images, self.labels, len(self.classes), self.normalize, self.machine)
