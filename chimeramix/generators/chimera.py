"""The ChimeraMix generator and its training (Reinders et al. 2022, section 3).

In a step, both images of a pair are encoded in one batch, both reconstructions and the masked mixture are decoded in
one batch, and the mixture serves the generator's and the discriminator's loss. Where paper and published code disagree,
a parameter decides and says what its default is.
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
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask


class ChimeraGenerator(Generator):
    """Encoder and decoder, their discriminator and one training step.

    Args:
        image_size: side of the training images in pixels; a multiple of 4, at least 32.
        epochs, batch_size, epoch_labels_per_class: see `Generator`.
        features, blocks, split, decoder_blocks: see `ChimeraNetwork`.
        discriminator: scores patches as real (1) or composed (0).
        mask: weight of the first image's features.
        augment: for the training images; no stronger one whatever the classifier uses later (published code).
        perceptual: `(output, target) -> scalar`.
        optimizer: for both networks; the paper's weight decay of 5e-4 is not applied by the published code nor here.
        schedule: of the learning rate, stepped per batch.
        reconstruction_weight: of the mean squared errors of both reconstructions (the paper writes squared norms; with
            sums the weight of 1000 would swamp the other losses).
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
        """One update of the generator and one of the discriminator on B pairs; returns the losses, unweighted, as
        scalars on the device. A loss of weight 0 is neither computed nor returned."""
        assert partner is not None
        losses, composition = self._update_generator(first, partner, rng)
        if composition is not None:
            if self._fake == "fresh":
                with torch.no_grad(), self.machine.autocast():
                    composition = self.compose(first, partner, rng)[1]
            real = first.images if rng.coin(0.5) else partner.images
            losses["discriminator"] = self._update_discriminator(real, composition.detach())
        return losses

    def advance(self) -> None:
        self._generator_step.advance()
        self._discriminator_step.advance()

    def compose(self, first: Batch, partner: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """A fresh mask `[B, 1, S/4, S/4]` and the mixture decoded under it, `[B, 3, S, S]` in [-1, 1]."""
        encoded_first, encoded_partner = self._encode(first, partner)
        mask = self.mask(first, partner, encoded_first.shape[-1], rng)
        return mask, self.network.decode(self.network.mix(encoded_first, encoded_partner, mask))

    def _encode(self, first: Batch, partner: Batch) -> tuple[Tensor, Tensor]:
        both = self.network.encode(torch.cat([first.images, partner.images]))
        return both[: len(first)], both[len(first) :]

    def _update_generator(
        self, first: Batch, partner: Batch, rng: RandomStream
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        reconstructs = self.reconstruction_weight > 0 or self.perceptual_weight > 0
        pairs = len(first)
        losses: dict[str, Tensor] = {}
        composition = None
        with self.machine.autocast():
            encoded_first, encoded_partner = self._encode(first, partner)
            to_decode = [encoded_first, encoded_partner] if reconstructs else []
            if self.adversarial_weight > 0:
                mask = self.mask(first, partner, encoded_first.shape[-1], rng)
                to_decode.append(self.network.mix(encoded_first, encoded_partner, mask))
            decoded = self.network.decode(torch.cat(to_decode))
            if self.adversarial_weight > 0:
                composition = decoded[-pairs:]
                losses["adversarial"] = _distance_to(self.discriminator(composition), 1)
        if reconstructs:
            # Factor 2: the sum of two means over equally many images is twice the mean over all.
            target = torch.cat([first.images, partner.images])
            output = decoded[: 2 * pairs].to(target.dtype)  # from half precision under autocast
            if self.reconstruction_weight > 0:
                losses["reconstruction"] = 2 * F.mse_loss(output, target)
            if self.perceptual_weight > 0:
                losses["perceptual"] = 2 * self.perceptual(output, target)
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
        """Pairs, their reconstructions, and three masks with the compositions under them; all in [-1, 1]."""
        with self.machine.autocast():
            reconstructions = [self.network.decode(half) for half in self._encode(first, partner)]
            columns = {
                "first": first.images,
                "partner": partner.images,
                "first, reconstructed": reconstructions[0],
                "partner, reconstructed": reconstructions[1],
            }
            for number in (1, 2, 3):
                mask, composition = self.compose(first, partner, rng)
                enlarged = F.interpolate(mask, size=composition.shape[-2:], mode="nearest")
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
