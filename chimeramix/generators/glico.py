"""GLICO's generator and its training (Azuri & Weinshall 2021, Algorithm 1): one latent code per training image.

A step decodes the codes of a batch, compares the images with the real ones, lets a weak classifier judge them, and
updates codes, decoder and classifier; then the codes return to the unit sphere. Where paper and published code
disagree, a parameter decides.

One default departs from both. At first all decoded images are nearly alike, and the batch normalisation of the weak
classifier enlarges what little distinguishes them: its gradient on the images is hundreds of times that of the
reconstruction, and Adam's second moment remembers it for thousands of steps, in which the decoder hardly learns. Here
the gradient of the cross entropy on the images, before it is weighted, is never longer than that of the reconstruction
(`classifier_gradient`). The published code recovers in another way, which it does not explain: it makes new optimisers
before every epoch (`optimizer_state`). `python -m benchmarks.glico` compares them.

Not reproduced of the published code: a second optimiser on the codes (SGD), a second softmax before the cross entropy,
a schedule of the classifier's rate that counts the batches of an epoch, and random codes that begin at 0.01 times the
root of their dimension instead of on the sphere, so that the first step turns them about nine times as far (at 128
dimensions). The first biases there are PyTorch's, here 0. The code's norm there is a constant for the gradient; here
the gradient runs through it and has no part along the code.
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
            extra data (`chimeramix.losses.VGG16Loss`). Above 64 pixels the published code adds the same distance of
            both images reduced to a quarter of the side; here there is no such term.
        optimizer: for the decoder.
        code_optimizer: for the codes.
        classifier_optimizer: for the weak classifier.
        schedule: of the learning rates of codes and decoder.
        reconstruction_weight: of pixels and perceptual loss together. 2 makes absolute differences those of images in
            [-1, 1], which the published code compares (`VGG16Loss` knows images in [0, 1] only).
        gamma: weight of the weak classifier's cross entropy (published code: 0.5); 0 does without.
        classifier_gradient: `limited` shortens the gradient of the cross entropy on a batch of images to the length of
            the reconstruction's where it is longer, before it is weighted with gamma; `full` leaves it as it is
            (published code). For a classifier of pixels; that of codes has no gradient on images.
        optimizer_state: `kept` through the training, or `cleared` before every epoch, of all three optimisers
            (published code).
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
        reconstruction_weight: float = 2.0,
        gamma: float = 0.5,
        classifier_gradient: Literal["limited", "full"] = "limited",
        optimizer_state: Literal["kept", "cleared"] = "kept",
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
        if reconstruction_weight <= 0:
            raise ValueError(f"reconstruction_weight must be positive, got {reconstruction_weight}")
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, got {gamma}")
        if classifier_gradient not in ("limited", "full"):
            raise ValueError(f"classifier_gradient must be limited or full, got {classifier_gradient}")
        if optimizer_state not in ("kept", "cleared"):
            raise ValueError(f"optimizer_state must be kept or cleared, got {optimizer_state}")
        if unlabelled < 0:
            raise ValueError(f"unlabelled must not be negative, got {unlabelled}")
        if classifier not in ("pixels", "latent"):
            raise ValueError(f"classifier must be pixels or latent, got {classifier}")
        if initial_codes not in ("random", "hypercube"):
            raise ValueError(f"initial_codes must be random or hypercube, got {initial_codes}")
        self.perceptual = perceptual
        self.reconstruction_weight = reconstruction_weight
        self.gamma = gamma
        self.initial_codes = initial_codes
        self.unlabelled = unlabelled
        self.transductive = transductive
        self.network = LatentNetwork(image_size, latent_dim, noise, noise_size, noise_sigma, mean, std)
        self._judges = classifier
        self._limits = classifier_gradient == "limited" and classifier == "pixels"
        self._clears = optimizer_state == "cleared"
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
        self._epoch_steps = total_steps // self.epochs

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
                to_judge = codes if self._judges == "latent" else images
                if self._limits:
                    images, to_judge = LimitedGradient.apply(images, self.gamma)
                logits = self.classifier(to_judge)
        images = images.to(target.dtype)
        losses["pixels"] = F.l1_loss(images, target)
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(images, target)
        total = self.reconstruction_weight * torch.stack(list(losses.values())).sum()
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
        """Learning rates of decoder and codes (the weak classifier's is constant), and what optimisers forget."""
        self._decoder_step.advance()
        self._code_step.advance()
        if self._clears and self._decoder_step.steps % self._epoch_steps == 0:
            for each in (self._decoder_step, self._code_step, self._classifier_step):
                each.forget()

    def settle(self) -> None:
        self.network.estimate_statistics(self.batch_size)

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


class LimitedGradient(torch.autograd.Function):
    """Hands on images `[B, ...]` twice; the gradient of the second use is shortened to `share` times the length of the
    first's where it is longer (Euclidean length over the whole batch). Needs no host synchronisation and no second
    backward pass."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, share: float) -> tuple[Tensor, Tensor]:
        ctx.share = share
        return images.view_as(images), images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, second = gradients
        dtype = torch.promote_types(first.dtype, torch.float32)  # squares overflow in fp16
        limit, length = (torch.linalg.vector_norm(gradient, dtype=dtype) for gradient in gradients)
        factor = (ctx.share * limit / length.clamp(min=torch.finfo(dtype).tiny)).clamp(max=1)
        return first + (second * factor).to(first.dtype), None


def _constant(share: float) -> float:
    """Schedule of the weak classifier's learning rate."""
    return 1.0
