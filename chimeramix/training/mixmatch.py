"""MixMatch (Berthelot et al. 2019): training with labelled images and guesses for unlabelled ones.

Numbers and order follow the published code: sharpened guesses from two views, MixUp of everything with everything,
batches interleaved for the batch normalisation, a weight that rises linearly, a moving average of the weights that is
evaluated. Two deviations: weight decay is the optimiser's and applies to all weights (AdamW with 0.02 multiplies by
1 - 0.02 lr in each step, as the published code does with the kernels of convolutions and linear layers only), and the
moving average includes the running statistics of batch normalisation (there it is of the trainable weights only, and
the statistics of the last step are evaluated with it).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.data.views import Views
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream, RunStreams
from chimeramix.training.averages import AveragedWeights
from chimeramix.training.batch_norm import frozen_statistics
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.procedure import Procedure
from chimeramix.types import Batch


class MixMatch(Procedure):
    """The algorithm's parameters.

    Args:
        unlabelled: training images outside the labelled subset that are used without their labels; 0 uses the
            labelled images themselves as unlabelled ones, for comparisons without further data.
        transductive: whether the test images are used, without their labels.
        alpha: MixUp's ratio is max(r, 1 - r) with r from Beta(alpha, alpha), for each sample.
        temperature: guesses are raised to the power 1 / temperature and normalised again.
        weight: of the squared difference on unlabelled images, at its end (75 for CIFAR-10, 150 for CIFAR-100).
        ramp_images: labelled images seen until the weight has risen from 0 to its end.
        average: share of the moving average that a step keeps. Trainings of few thousand steps need less than the
            published 0.999, with which the average still holds a part of the first weights.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self,
        unlabelled: int = 0,
        transductive: bool = False,
        alpha: float = 0.75,
        temperature: float = 0.5,
        weight: float = 75.0,
        ramp_images: int = 2**20,
        average: float = 0.999,
    ) -> None:
        if unlabelled < 0:
            raise ValueError(f"unlabelled must not be negative, got {unlabelled}")
        if alpha < SMALLEST_CONCENTRATION or temperature <= 0:
            raise ValueError(
                f"alpha must be at least {SMALLEST_CONCENTRATION} and temperature positive, "
                f"got {alpha} and {temperature}"
            )
        if weight < 0 or ramp_images < 1:
            raise ValueError(f"weight must not be negative and ramp_images at least 1, got {weight} and {ramp_images}")
        if not 0 <= average < 1:
            raise ValueError(f"average must be in [0, 1), got {average}")
        self.unlabelled: int = unlabelled
        self.transductive = transductive
        self.alpha = alpha
        self.temperature = temperature
        self.weight = weight
        self.ramp_images = ramp_images
        self.average = average

    def training(self, plain: ClassifierTraining, streams: RunStreams, unlabelled: Views | None) -> "MixMatchTraining":
        assert unlabelled is not None
        return MixMatchTraining.instead_of(plain, algorithm=self, unlabelled=unlabelled, rng=streams["unlabelled"])

    def sharpen(self, probabilities: Tensor) -> Tensor:
        """`[B, K]` probabilities, closer to one-hot."""
        powers = probabilities.pow(1 / self.temperature)
        return powers / powers.sum(1, keepdim=True)

    def weight_after(self, images: int) -> float:
        """The weight of the unlabelled loss once so many labelled images were seen."""
        return self.weight * min(1.0, images / self.ramp_images)


@dataclass(kw_only=True, eq=False)
class MixMatchTraining(ClassifierTraining):
    """One step uses a labelled batch and as many unlabelled images, in two views each. The mixer is not used.

    Attributes:
        algorithm: its parameters.
        unlabelled: makes views of unlabelled images.
        rng: draws the unlabelled images and MixUp's pairs and ratios.
    """

    algorithm: MixMatch
    unlabelled: Views
    rng: RandomStream

    def __post_init__(self) -> None:
        super().__post_init__()
        self._average = AveragedWeights(self.model)
        self._seen = 0
        self._weight = torch.zeros((), device=self.machine.device)
        self._set_weight()

    @property
    def passes(self) -> tuple[int, int]:
        return 3, 2

    def step(self, batch: Batch) -> dict[str, Tensor]:
        count, algorithm = len(batch), self.algorithm
        index = self.rng.integers(len(self.unlabelled.subset), count)
        views = [self.unlabelled(index).images for _ in range(2)]
        with self.machine.autocast():
            with torch.no_grad(), frozen_statistics(self.model):
                guesses = [self.model(images).float().softmax(1) for images in views]
            guess = algorithm.sharpen(torch.stack(guesses).mean(0))
            labels = self.mixer.targets(batch.labels)
            images, targets = self._mix(torch.cat([batch.images, *views]), torch.cat([labels, guess, guess]))
            logits = self._interleaved(images)
        supervised = self.loss(logits[:count], targets[:count])
        unsupervised = (logits[count:].softmax(1) - targets[count:]).square().mean()
        self.optimisation.minimise(supervised + self._weight * unsupervised)
        self._average.follow(1 - self.algorithm.average)
        agree = logits[:count].detach().argmax(1) == targets[:count].argmax(1)
        return {
            "loss": supervised.detach(),
            "unlabelled_loss": unsupervised.detach(),
            "train_accuracy": agree.float().mean(),
        }

    def advance(self, samples: int) -> None:
        super().advance(samples)
        self._seen += samples
        self._set_weight()

    def _set_weight(self) -> None:
        # On the device, so that a recorded step finds it changed.
        self._weight.fill_(self.algorithm.weight_after(self._seen))

    def _mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """MixUp of all with all; the first image has the larger share."""
        ratio = self.rng.beta(self.algorithm.alpha, len(images))
        other = torch.minimum(ratio, 1 - ratio)
        order = self.rng.permutation(len(images))
        mixed = torch.lerp(images, images[order], other.view(-1, 1, 1, 1).to(images.dtype))
        return mixed, torch.lerp(targets, targets[order], other.view(-1, 1))

    def _interleaved(self, images: Tensor) -> Tensor:
        """Logits `[3 B, K]`. The model sees three batches, each with labelled and unlabelled images, so that all have
        alike statistics; the running ones follow the first."""
        count = len(images) // 3
        row = torch.arange(count, device=images.device)
        part = row * 3 // count
        order = torch.cat([(number + part) % 3 * count + row for number in range(3)])
        first, *rest = images[order].chunk(3)
        logits = [self.model(first)]
        with frozen_statistics(self.model):
            logits += [self.model(batch) for batch in rest]
        together = torch.cat(logits).float()
        return together[order.argsort()]

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"plain": self._average.network}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "averaged": self.outcome.state_dict(), "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.outcome.load_state_dict(state["averaged"])
        self._seen = state["seen"]
        self._set_weight()
