"""The ChimeraMix generator and its training (Reinders et al. 2022, section 3).

In a step, both images of a pair are encoded in one batch, both reconstructions and the masked mixture are decoded in
one batch, and the mixture serves the generator's and the discriminator's loss. Where paper and published code disagree,
a parameter decides and says what its default is.

With a mask for N images a pair becomes a group of N (after HydraMix: Reinders, Schubert and Rosenhahn 2025): the losses
are then those of N reconstructions and one composition, and the discriminator's real image is any of the N.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.generators.base import Generator, Stateful
from chimeramix.generators.networks import ChimeraNetwork, PatchDiscriminator
from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation, Schedule
from chimeramix.shares import images_of, pictures_of
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask


class ChimeraGenerator(Generator):
    """Encoder and decoder, their discriminator and one training step.

    Args:
        image_size: side of the training images in pixels; a multiple of 4, at least 32.
        epochs, batch_size, epoch_labels_per_class: see `Generator`.
        features, blocks, split, decoder_blocks: see `ChimeraNetwork`.
        discriminator: scores patches as real (1) or composed (0).
        mask: weight of the first image's features, or shares of those of more images.
        augment: for the training images; no stronger one whatever the classifier uses later (published code).
        perceptual: `(output, target) -> scalar`.
        optimizer: for both networks; the paper's weight decay of 5e-4 is not applied by the published code nor here.
        schedule: of the learning rate, stepped per batch.
        reconstruction_weight: of the mean squared errors of both, or all, reconstructions, added up (the paper writes
            squared norms; with sums the weight of 1000 would swamp the other losses).
        perceptual_weight, adversarial_weight: of the other two losses.
        fake: `reused` hands the discriminator the mixture from before the generator's update, `fresh` a new one under
            a new mask from after it (published code).
        include_self: whether an image may be its own partner (published code).

    Raises:
        ValueError: for an image size that cannot be halved twice or that the discriminator cannot take, and for other
            values out of range.
    """

    needs_partners = True
    network: ChimeraNetwork
    mask: Mask

    def __init__(
        self,
        image_size: int,
        epochs: int,
        batch_size: int,
        epoch_labels_per_class: int,
        discriminator: PatchDiscriminator,
        mask: Mask,
        augment: Callable[..., Any],
        perceptual: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Schedule,
        features: int = 64,
        blocks: int = 4,
        split: int = 2,
        decoder_blocks: Literal["applied", "discarded"] = "applied",
        reconstruction_weight: float = 1000,
        perceptual_weight: float = 1,
        adversarial_weight: float = 1,
        fake: Literal["reused", "fresh"] = "reused",
        include_self: bool = True,
    ) -> None:
        if image_size < 32 or image_size % 4:
            raise ValueError(
                f"image_size must be a multiple of 4 (it is halved twice) and at least 32, got {image_size}; "
                f"set generator.image_size={max(32, -(-image_size // 4) * 4)}"
            )
        super().__init__(image_size, epochs, batch_size, epoch_labels_per_class, augment)
        if min(reconstruction_weight, perceptual_weight, adversarial_weight) < 0:
            raise ValueError("the weights of the losses must not be negative")
        if max(reconstruction_weight, perceptual_weight, adversarial_weight) == 0:
            raise ValueError("one of the losses must have a weight above 0, or there is nothing to learn from")
        if fake not in ("reused", "fresh"):
            raise ValueError(f"fake must be reused or fresh, got {fake}")
        mask.check(image_size // 4)
        self.mask = mask
        self._images = images_of(mask)
        self.include_self = include_self
        self.network = ChimeraNetwork(features, blocks, split, decoder_blocks)
        self.network.image_size = image_size
        self.discriminator = discriminator
        self.perceptual = perceptual
        self.reconstruction_weight = reconstruction_weight
        self.perceptual_weight = perceptual_weight
        self.adversarial_weight = adversarial_weight
        self._fake = fake
        self._optimizer = optimizer
        self._schedule = schedule

    def prepare(self, machine: Machine, total_steps: int) -> None:
        self.machine = machine
        for module in (self.network, self.discriminator, self.perceptual):
            module.to(machine.device)
        machine.compile_networks(self.network.encoder, self.network.decoder, self.discriminator)
        self._generator_step = Optimisation(
            self.network.parameters(), self._optimizer, self._schedule, total_steps, machine
        )
        self._discriminator_step = Optimisation(
            self.discriminator.parameters(), self._optimizer, self._schedule, total_steps, machine
        )

    @property
    def learning_rate(self) -> float:
        return self._generator_step.learning_rate

    def step(self, first: Batch, partner: Batch | None, rng: RandomStream) -> dict[str, Tensor]:
        """One update of the generator and one of the discriminator on B pairs, or groups of N images, whose partners
        `[(N - 1) * B, ...]` come one after another; returns the losses, unweighted, as scalars on the device. A loss of
        weight 0 is neither computed nor returned."""
        assert partner is not None
        losses, composition = self._update_generator(first, partner, rng)
        if composition is not None:
            if self._fake == "fresh":
                with torch.no_grad(), self.machine.autocast():
                    composition = self.compose(first, partner, rng)[1]
            losses["discriminator"] = self._update_discriminator(self._real(first, partner, rng), composition.detach())
        return losses

    def _real(self, first: Batch, partner: Batch, rng: RandomStream) -> Tensor:
        """`[B, 3, S, S]`: one image of each group, of all groups the one of the same number."""
        if self._images == 2:
            return first.images if rng.coin(0.5) else partner.images
        # Drawn on the device: a CUDA graph would be recorded for each answer of the host's.
        number = rng.integers(self._images, 1)
        groups = torch.cat([first.images, partner.images]).unflatten(0, (self._images, -1))
        return groups.index_select(0, number)[0]

    def advance(self) -> None:
        self._generator_step.advance()
        self._discriminator_step.advance()

    def compose(self, first: Batch, partner: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """A fresh mask `[B, 1, S/4, S/4]`, or `[B, N, S/4, S/4]` for N > 2 images, and the mixture decoded under it,
        `[B, 3, S, S]` in [-1, 1]."""
        encoded = self._encode(first, partner)
        mask = self.mask(first, partner, encoded.shape[-1], rng)
        return mask, self.network.decode(self.network.combine(encoded, mask))

    def _encode(self, first: Batch, partner: Batch) -> Tensor:
        """Features of all N images of each group, `[N * B, C, S/4, S/4]`."""
        return self.network.encode(torch.cat([first.images, partner.images]))

    def _update_generator(
        self, first: Batch, partner: Batch, rng: RandomStream
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        reconstructs = self.reconstruction_weight > 0 or self.perceptual_weight > 0
        groups, images = len(first), self._images * len(first)
        losses: dict[str, Tensor] = {}
        composition = None
        with self.machine.autocast():
            encoded = self._encode(first, partner)
            to_decode = [encoded] if reconstructs else []
            if self.adversarial_weight > 0:
                mask = self.mask(first, partner, encoded.shape[-1], rng)
                to_decode.append(self.network.combine(encoded, mask))
            decoded = self.network.decode(torch.cat(to_decode))
            if self.adversarial_weight > 0:
                composition = decoded[-groups:]
                losses["adversarial"] = _distance_to(self.discriminator(composition), 1)
        if reconstructs:
            # The sum of N means over equally many images is N times the mean over all.
            target = torch.cat([first.images, partner.images])
            output = decoded[:images].to(target.dtype)  # from half precision under autocast
            if self.reconstruction_weight > 0:
                losses["reconstruction"] = self._images * F.mse_loss(output, target)
            if self.perceptual_weight > 0:
                losses["perceptual"] = self._images * self.perceptual(output, target)
        weights = {name: getattr(self, f"{name}_weight") for name in losses}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        self._generator_step.minimise(total)
        return {name: loss.detach() for name, loss in losses.items()}, composition

    def _update_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        with self.machine.autocast():
            scores = self.discriminator(torch.cat([real, fake.to(real.dtype)]))
        loss = _distance_to(scores[: len(real)], 1) + _distance_to(scores[len(real) :], 0)
        self._discriminator_step.minimise(loss)
        return loss.detach()

    @torch.no_grad()
    def preview(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        """Pairs, or groups of N images, their reconstructions, and three masks with the compositions under them; all in
        [-1, 1]. Masks for more than two images have a grey for each."""
        partners = [f"partner {number}" for number in range(1, self._images)]
        names = ["first", *(partners if self._images > 2 else ["partner"])]
        with self.machine.autocast():
            images = torch.cat([first.images, partner.images]).chunk(self._images)
            encoded = self._encode(first, partner).chunk(self._images)
            columns = dict(zip(names, images, strict=True))
            for name, features in zip(names, encoded, strict=True):
                columns[f"{name}, reconstructed"] = self.network.decode(features)
            for number in (1, 2, 3):
                mask, composition = self.compose(first, partner, rng)
                enlarged = F.interpolate(pictures_of(mask), size=composition.shape[-2:], mode="nearest")
                columns[f"mask {number}"] = (2 * enlarged - 1).expand_as(composition)
                columns[f"composition {number}"] = composition
        return {title: images.float().clamp(-1, 1) for title, images in columns.items()}

    def parts(self) -> dict[str, Stateful]:
        return {
            "network": self.network,
            "discriminator": self.discriminator,
            "generator_step": self._generator_step,
            "discriminator_step": self._discriminator_step,
        }


def _distance_to(scores: Tensor, label: float) -> Tensor:
    """Least-squares GAN loss: mean squared distance of all patch scores to a label, in float32 at least."""
    return (scores.to(torch.promote_types(scores.dtype, torch.float32)) - label).square().mean()
