"""Loops that do what the losses need and nothing else: networks of the product, plain PyTorch around them.

Batches, partners and masks are made once. What a product's step takes longer than these is its overhead.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.machine import Machine
from chimeramix.runs.assembly import Parts
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

Step = Callable[[], None]


def generator_step(parts: Parts, first: Batch, partner: Batch, machine: Machine) -> Step:
    """An update of encoder and decoder, then one of the discriminator, with Adam."""
    training: Any = parts.training
    generator = training.generator
    network, judge, perceptual = generator.network, generator.discriminator, generator.perceptual
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    optimizer, judges_optimizer = (torch.optim.Adam(module.parameters(), **adam) for module in (network, judge))
    both = torch.cat([first.images, partner.images])
    pairs = len(first)
    mask = generator.mask(first, partner, first.images.shape[-1] // 4, RandomStream(0, machine.device))

    def step() -> None:
        judge.requires_grad_(False)
        with machine.autocast():
            features = network.encode(both)
            mixed = torch.lerp(features[pairs:], features[:pairs], mask.to(features.dtype))
            decoded = network.decode(torch.cat([features, mixed]))
            adversarial = (judge(decoded[2 * pairs :]).float() - 1).square().mean()
        output = decoded[: 2 * pairs].float()
        loss = 1000 * 2 * F.mse_loss(output, both) + 2 * perceptual(output, both) + adversarial
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        judge.requires_grad_(True)
        with machine.autocast():
            scores = judge(torch.cat([first.images, decoded[2 * pairs :].detach().float()])).float()
        loss = (scores[:pairs] - 1).square().mean() + scores[pairs:].square().mean()
        judges_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        judges_optimizer.step()

    return step


def classifier_step(parts: Parts, batch: Batch, partner: Batch | None, machine: Machine) -> Step:
    """An update with SGD; with a partner, of what the untrained generator composes of both."""
    training: Any = parts.training
    model = training.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-3)
    if partner is not None:
        compose = _composition(training.mixer, batch, partner, machine)

    def step() -> None:
        with machine.autocast():
            logits = model(batch.images if partner is None else compose())
        loss = F.cross_entropy(logits.float(), batch.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _composition(mixer: Any, batch: Batch, partner: Batch, machine: Machine) -> Callable[[], Tensor]:
    """What the mixer's generator decodes under one mask."""
    network, size = mixer.generator, batch.images.shape[-1]
    mask = mixer.mask(batch, partner, network.image_size // 4, RandomStream(0, machine.device))
    both = torch.cat([batch.images, partner.images])

    @torch.no_grad()
    def compose() -> Tensor:
        enlarged = F.interpolate(both, size=(network.image_size,) * 2, mode="bilinear")
        first, second = network.encode(enlarged).chunk(2)
        decoded = network.decode(torch.lerp(second, first, mask.to(first.dtype)))
        return F.interpolate(decoded, size=(size, size), mode="bilinear")

    return compose
