"""SuperMix (Dabouei et al. 2021): two images are mixed under masks that are optimised against a teacher.

A teacher is trained on the subset, as a plain classifier; then mixtures are made once, with the teacher's predictions
as targets, and stored. Numbers are those of the published code. The teacher sees no image and no label outside the
subset: it would pass on what it learned from them.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.generators.base import Generator, Stateful, require_at_least_1
from chimeramix.generators.pool import ImagePool
from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation, Schedule
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream
from chimeramix.types import Batch, Subset

_BLUR = 5  # pixels of the Gaussian that smooths a gradient
_SHORTEST_STEP, _LONGEST_STEP = 1e-4, 2000.0


class SuperMixGenerator(Generator):
    """Trains the teacher for `epochs`, then makes mixtures for `pool_epochs` more.

    Args:
        image_size: side of the images.
        epochs, batch_size, epoch_labels_per_class: the teacher's recipe, see `Generator`; mixtures are made batch by
            batch.
        pool_epochs: passes over the (repeated) subset in which each image is mixed with its neighbour in the batch.
        mean, std: of the data set's normalisation.
        augment: for the training images, of the teacher and of the mixtures.
        teacher: called with `num_classes`, gives the network.
        optimizer, schedule: the teacher's.
        concentration: of the Dirichlet distribution from which the two images' shares are drawn.
        mask_size: side of the masks that are optimised; they are enlarged bilinearly.
        binary_weight: weight of the mean `|m (m - 1)|`, which drives masks towards 0 and 1.
        sigma: of the Gaussian that smooths gradients.
        iterations: most steps per batch.
        tolerance: a batch is finished once at most this share of it is open. A mixture is done when the teacher's two
            most likely classes are the two that it was made of; mixtures that are still open are discarded.

    Raises:
        ValueError: for values out of range.
    """

    recordable = False  # the host asks after each iteration whether enough mixtures are done
    network: ImagePool

    def __init__(
        self,
        image_size: int,
        epochs: int,
        batch_size: int,
        epoch_labels_per_class: int,
        mean: list[float],
        std: list[float],
        augment: Callable[..., Any],
        teacher: Callable[..., nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Schedule,
        pool_epochs: int = 2,
        concentration: float = 3.0,
        mask_size: int = 8,
        binary_weight: float = 25.0,
        sigma: float = 1.0,
        iterations: int = 50,
        tolerance: float = 0.7,
    ) -> None:
        super().__init__(image_size, epochs, batch_size, epoch_labels_per_class, augment)
        require_at_least_1(pool_epochs=pool_epochs, mask_size=mask_size, iterations=iterations)
        if concentration < SMALLEST_CONCENTRATION or sigma <= 0 or binary_weight < 0:
            raise ValueError(
                f"concentration must be at least {SMALLEST_CONCENTRATION}, sigma positive and binary_weight not "
                f"negative, got {concentration}, {sigma} and {binary_weight}"
            )
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
        self.epochs = epochs + pool_epochs
        self.network = ImagePool(image_size, mean, std)
        self.concentration = concentration
        self.mask_size = mask_size
        self.binary_weight = binary_weight
        self.iterations = iterations
        self.tolerance = tolerance
        self._teacher_share = epochs / self.epochs
        self._make_teacher = teacher
        self._optimizer = optimizer
        self._schedule = schedule
        self._kernel = _gaussian(_BLUR, sigma)
        self._steps = 0

    def begin(self, subset: Subset, rng: RandomStream) -> None:
        """Makes the teacher."""
        self._num_classes = subset.num_classes
        self.teacher = self._make_teacher(num_classes=subset.num_classes)

    def prepare(self, machine: Machine, total_steps: int) -> None:
        self.machine = machine
        self._teacher_steps = round(total_steps * self._teacher_share)
        self.network.make_room((total_steps - self._teacher_steps) * self.batch_size, self._num_classes)
        self.network.to(machine.device)
        self.teacher.to(machine.device)
        machine.compile_networks(self.teacher)
        self._kernel = self._kernel.to(machine.device)
        self._teacher_step = Optimisation(
            self.teacher.parameters(), self._optimizer, self._schedule, self._teacher_steps, machine
        )

    @property
    def learning_rate(self) -> float:
        return self._teacher_step.learning_rate

    def step(self, first: Batch, partner: Batch | None, rng: RandomStream) -> dict[str, Tensor]:
        """One update of the teacher, or a batch of mixtures."""
        if self._steps < self._teacher_steps:
            return self._train_teacher(first)
        images, targets, done = self.mixtures(first, rng)
        self.network.add(images[done], targets[done])  # synchronises, as do the iterations; steps are not recorded
        return {"kept": done.float().mean()}

    def advance(self) -> None:
        if self._steps < self._teacher_steps:
            self._teacher_step.advance()
        self._steps += 1

    def _train_teacher(self, batch: Batch) -> dict[str, Tensor]:
        self.teacher.train()
        with self.machine.autocast():
            logits = self.teacher(batch.images)
        loss = F.cross_entropy(logits.float(), batch.labels)
        self._teacher_step.minimise(loss)
        agree = logits.detach().argmax(1) == batch.labels
        return {"teacher": loss.detach(), "teacher_accuracy": agree.float().mean()}

    def mixtures(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor, Tensor]:
        """Mixtures `[B, 3, S, S]` of each image and the next, the teacher's predictions for them `[B, K]`, and which of
        them are done `[B]` bool."""
        self.teacher.eval()
        pair = torch.stack([batch.images, batch.images.roll(-1, 0)], dim=1)  # [B, 2, 3, S, S]
        with torch.no_grad():
            label = self._predict(batch.images).argmax(1)
        labels = torch.stack([label, label.roll(-1, 0)], dim=1)  # [B, 2]
        concentration = torch.full((len(batch), 2), self.concentration, device=label.device)
        share = rng.dirichlet(concentration)
        one_hot = F.one_hot(labels, self._num_classes).float()
        target = (share.unsqueeze(2) * one_hot).sum(1)
        wanted = one_hot.amax(1)  # [B, K]: 1 for the classes that the mixture is made of

        logits = torch.zeros(len(batch), 2, self.mask_size, self.mask_size, device=label.device)
        done = torch.zeros(len(batch), dtype=torch.bool, device=label.device)
        for _ in range(self.iterations):
            logits.requires_grad_()
            masks = self._masks(logits)
            scores = self._predict((masks.unsqueeze(2) * pair).sum(1))
            done = done | self._is_done(scores.detach(), wanted)
            if (~done).float().mean() <= self.tolerance:
                break
            loss = -(target * scores.log_softmax(1)).sum(1)
            loss = loss + self.binary_weight * (masks * (masks - 1)).abs().mean((1, 2, 3))
            (gradient,) = torch.autograd.grad(loss.sum(), logits)
            logits = self._descend(logits.detach(), gradient, loss.detach(), ~done)
        with torch.no_grad():
            images = (self._masks(logits).unsqueeze(2) * pair).sum(1)
            return images, self._predict(images).softmax(1), done

    def _predict(self, images: Tensor) -> Tensor:
        with self.machine.autocast():
            scores = self.teacher(images)
        return scores.float()

    def _masks(self, logits: Tensor) -> Tensor:
        """`[B, 2, S, S]`, in [0, 1] and of sum 1 over the two images."""
        size = (self.image_size, self.image_size)
        weights = F.interpolate(logits, size=size, mode="bilinear", align_corners=False).sigmoid()
        return weights / weights.sum(1, keepdim=True)

    @staticmethod
    def _is_done(scores: Tensor, wanted: Tensor) -> Tensor:
        """Whether the most likely classes, as many as there are in the pair, are those of the pair."""
        best = scores.topk(min(2, scores.shape[1]), dim=1).indices
        found = wanted.gather(1, best)
        of_one_class = wanted.sum(1) == 1
        return torch.where(of_one_class, found[:, 0] == 1, found.sum(1) == 2)

    def _descend(self, logits: Tensor, gradient: Tensor, loss: Tensor, open_: Tensor) -> Tensor:
        """A step along the smoothed gradient, as long as would bring a linear loss to 0."""
        channels = gradient.shape[1]
        kernel = self._kernel.expand(channels, 1, -1, -1)
        smooth = F.conv2d(gradient, kernel, padding=_BLUR // 2, groups=channels)
        slope = (gradient * smooth).sum((1, 2, 3))
        length = (loss.abs() / slope.clamp(min=1e-12)).clamp(_SHORTEST_STEP, _LONGEST_STEP)
        return logits - (length * open_).view(-1, 1, 1, 1) * smooth

    def preview(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        """Pairs and three mixtures of each."""
        columns = {"first": first.images, "partner": partner.images}
        for number in (1, 2, 3):
            made = [
                self.mixtures(Batch(torch.stack(pair), labels), rng)[0][0]
                for *pair, labels in zip(
                    first.images, partner.images, torch.stack([first.labels, partner.labels], 1), strict=True
                )
            ]
            columns[f"mixture {number}"] = torch.stack(made)
        return columns

    def parts(self) -> dict[str, Stateful]:
        return {"network": self.network, "teacher": self.teacher, "teacher_step": self._teacher_step}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._steps = state["steps"]


def _gaussian(side: int, sigma: float) -> Tensor:
    """`[1, 1, side, side]`, of sum 1."""
    place = torch.arange(side) - side // 2
    profile = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = profile[:, None] * profile
    return (kernel / kernel.sum())[None, None]
