"""GLICO's generator and its training (Azuri & Weinshall 2021, Algorithm 1): one latent code per training image.

A step decodes the codes of a batch, compares the images with the real ones, has a weak classifier judge them, and
updates codes, decoder and classifier; codes then return to the unit sphere. Where paper and published code disagree, a
parameter decides. Deviations of the published code that are accidents are not reproduced: optimisers rebuilt every
epoch, a second optimiser on the codes, a second softmax, schedules that count batches within an epoch.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.generators.base import Generator, Stateful
from chimeramix.generators.latent import LatentNetwork, latent_classifier, slerp, weak_classifier
from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation, Schedule, minimise
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Subset


class GlicoGenerator(Generator):
    """The codes, their decoder, the weak classifier and one training step.

    Args:
        image_size: side of the images, see `chimeramix.generators.latent.decoder`.
        epochs, batch_size, epoch_labels_per_class: see `Generator`.
        mean, std: of the data set's normalisation.
        augment: for the training images; the published code uses none.
        perceptual: `(output, target) -> scalar` on images in [0, 1], added to the mean absolute difference of the
            pixels; None for the pixels alone. The paper compares features of a VGG-16 trained on ImageNet, which is
            extra data (`chimeramix.losses.VGG16Loss`).
        optimizer: for the decoder.
        code_optimizer: for the codes.
        classifier_optimizer: for the weak classifier.
        schedule: of the learning rates of codes and decoder.
        gamma: weight of the weak classifier's cross entropy (published code: 0.5); 0 does without.
        classifier: judges the decoded `pixels`, or the `latent` codes (ablation).
        initial_codes: see `LatentNetwork.make_codes`.
        unlabelled: number of images outside the labelled subset that get codes, too, for reconstruction only
            (semi-supervised); they are drawn from the rest of the training part.
        transductive: whether the test images get codes, for reconstruction only. No label of theirs is used.
        latent_dim, noise, noise_size, noise_sigma: see `LatentNetwork`.

    Raises:
        ValueError: for values out of range.
    """

    network: LatentNetwork

    def __init__(
        self,
        image_size: int,
        epochs: int,
        batch_size: int,
        epoch_labels_per_class: int,
        mean: list[float],
        std: list[float],
        augment: Callable[..., Any],
        optimizer: Callable[..., torch.optim.Optimizer],
        code_optimizer: Callable[..., torch.optim.Optimizer],
        classifier_optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Schedule,
        perceptual: nn.Module | None = None,
        gamma: float = 0.5,
        classifier: Literal["pixels", "latent"] = "pixels",
        initial_codes: Literal["random", "hypercube"] = "random",
        unlabelled: int = 0,
        transductive: bool = False,
        latent_dim: int = 128,
        noise: Literal["concatenated", "added", "none"] = "concatenated",
        noise_size: int = 100,
        noise_sigma: float = 0.15,
    ) -> None:
        super().__init__(image_size, epochs, batch_size, epoch_labels_per_class, augment)
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, got {gamma}")
        if unlabelled < 0:
            raise ValueError(f"unlabelled must not be negative, got {unlabelled}")
        if classifier not in ("pixels", "latent"):
            raise ValueError(f"classifier must be pixels or latent, got {classifier}")
        if initial_codes not in ("random", "hypercube"):
            raise ValueError(f"initial_codes must be random or hypercube, got {initial_codes}")
        self.perceptual = perceptual
        self.gamma = gamma
        self.initial_codes = initial_codes
        self.unlabelled = unlabelled
        self.transductive = transductive
        self.network = LatentNetwork(image_size, latent_dim, noise, noise_size, noise_sigma, mean, std)
        self._judges = classifier
        self._optimizers = optimizer, code_optimizer, classifier_optimizer
        self._schedule = schedule

    def begin(self, subset: Subset, rng: RandomStream) -> None:
        """Makes the codes of the subset's images, and the weak classifier."""
        self.network.make_codes(subset.labels, subset.num_classes, self.initial_codes, rng)
        if self._judges == "pixels":
            self.classifier = weak_classifier(self.image_size, subset.num_classes)
        else:
            self.classifier = latent_classifier(self.network.latent_dim, subset.num_classes)

    def prepare(self, machine: Machine, total_steps: int) -> None:
        self.machine = machine
        self.network.to(machine.device).train()
        self.classifier.to(machine.device).train()
        if self.perceptual is not None:
            self.perceptual.to(machine.device)
        machine.compile_networks(self.network.decoder, self.classifier)
        codes = self.network.codes
        others = [parameter for parameter in self.network.parameters() if parameter is not codes]
        for_decoder, for_codes, for_classifier = self._optimizers
        self._decoder_step = Optimisation(others, for_decoder, self._schedule, total_steps, machine)
        self._code_step = Optimisation([codes], for_codes, self._schedule, total_steps, machine)
        self._classifier_step = Optimisation(
            self.classifier.parameters(), for_classifier, _constant, total_steps, machine
        )

    @property
    def learning_rate(self) -> float:
        return self._decoder_step.learning_rate

    def step(self, first: Batch, partner: Batch | None, rng: RandomStream) -> dict[str, Tensor]:
        """One update of the batch's codes, of the decoder and, for a labelled batch, of the weak classifier."""
        assert first.index is not None
        judged = self.gamma > 0 and first.labelled
        losses: dict[str, Tensor] = {}
        target = self.network.denormalize(first.images)
        with self.machine.autocast():
            codes = self.network.codes[first.index]
            images = self.network.generate(codes, rng)
            if judged:
                logits = self.classifier(images if self._judges == "pixels" else codes)
        images = images.to(target.dtype)
        losses["pixels"] = F.l1_loss(images, target)
        total = losses["pixels"]
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(images, target)
            total = total + losses["perceptual"]
        updated = [self._decoder_step, self._code_step]
        if judged:
            losses["classifier"] = F.cross_entropy(logits.float(), first.labels)
            total = total + self.gamma * losses["classifier"]
            updated.append(self._classifier_step)
        minimise(total, *updated)
        self.network.project()
        if self.unlabelled or self.transductive:
            losses.pop("classifier", None)  # the epoch's means need the same losses in every step
        return {name: loss.detach() for name, loss in losses.items()}

    def advance(self) -> None:
        """Learning rates of decoder and codes; the weak classifier's is constant."""
        self._decoder_step.advance()
        self._code_step.advance()

    @torch.no_grad()
    def preview(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        """Images, their reconstructions, and what is decoded from between their codes."""
        assert first.index is not None
        assert partner.index is not None
        network = self.network.eval()
        codes = [network.codes[batch.index] for batch in (first, partner)]
        columns = {"first": first.images, "reconstructed": network.decode(codes[0], rng)}
        for share in (0.1, 0.2, 0.3, 0.4, 0.5):
            between = slerp(codes[0], codes[1], torch.full_like(codes[0][:, :1], share))
            columns[f"{share:.1f}"] = network.decode(between, rng)
        columns["partner, reconstructed"] = network.decode(codes[1], rng)
        columns["partner"] = partner.images
        network.train()
        return columns

    def parts(self) -> dict[str, Stateful]:
        return {
            "network": self.network,
            "classifier": self.classifier,
            "decoder_step": self._decoder_step,
            "code_step": self._code_step,
            "classifier_step": self._classifier_step,
        }


def _constant(share: float) -> float:
    """Schedule of the weak classifier's learning rate."""
    return 1.0
