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
from chimeramix.shares import images_of
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
    everything = torch.cat([first.images, partner.images])
    groups, images = len(first), images_of(generator.mask)
    mask = generator.mask(first, partner, first.images.shape[-1] // 4, RandomStream(0, machine.device))

    def step() -> None:
        judge.requires_grad_(False)
        with machine.autocast():
            features = network.encode(everything)
            decoded = network.decode(torch.cat([features, _mixed(features, mask)]))
            adversarial = (judge(decoded[images * groups :]).float() - 1).square().mean()
        output = decoded[: images * groups].float()
        loss = images * (1000 * F.mse_loss(output, everything) + perceptual(output, everything)) + adversarial
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        judge.requires_grad_(True)
        with machine.autocast():
            scores = judge(torch.cat([first.images, decoded[images * groups :].detach().float()])).float()
        loss = (scores[:groups] - 1).square().mean() + scores[groups:].square().mean()
        judges_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        judges_optimizer.step()

    return step


def _mixed(features: Tensor, mask: Tensor) -> Tensor:
    """Of two images under the weight of the first, or of more under their shares."""
    if mask.shape[1] == 1:
        first, second = features.chunk(2)
        return torch.lerp(second, first, mask.to(features.dtype))
    shares = mask.to(features.dtype).transpose(0, 1).unsqueeze(2)
    return (features.unflatten(0, (len(shares), -1)) * shares).sum(0)


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
    everything = torch.cat([batch.images, partner.images])

    @torch.no_grad()
    def compose() -> Tensor:
        enlarged = F.interpolate(everything, size=(network.image_size,) * 2, mode="bilinear")
        decoded = network.decode(_mixed(network.encode(enlarged), mask))
        return F.interpolate(decoded, size=(size, size), mode="bilinear")

    return compose
