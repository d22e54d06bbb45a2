"""Training steps on groups of three images against a plain re-computation in float64."""

import copy
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from chimeramix.generators import ChimeraGenerator
from chimeramix.masks import GridMask, SegmentMask
from chimeramix.streams import RandomStream
from chimeramix.types import Batch
from tests.generators.test_chimera_step import counted, laplacian_loss, training

IMAGES, GROUPS = 3, 2


def groups(seed: int = 0) -> tuple[Batch, Batch]:
    """Two images and their partners: both first ones, then both second ones."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(IMAGES * GROUPS, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.arange(GROUPS).repeat(IMAGES)
    stripes = (torch.arange(32) // 5).expand(IMAGES * GROUPS, 32, 32)
    first, partner = (slice(0, GROUPS), slice(GROUPS, None))
    return tuple(Batch(images[part], labels[part], None, stripes[part]) for part in (first, partner))  # type: ignore[return-value]


class PlainTraining:
    """Images go through the networks one by one, features are mixed place by place, losses are added up one by one."""

    def __init__(self, like: ChimeraGenerator, fresh: bool) -> None:
        self.network = copy.deepcopy(like.network)
        self.discriminator = copy.deepcopy(like.discriminator)
        self.mask = like.mask
        self.fresh = fresh
        self.optimizers = [
            torch.optim.Adam(module.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for module in (self.network, self.discriminator)
        ]

    def mixture(self, first: Batch, partner: Batch, rng: RandomStream) -> Tensor:
        owner = self.mask(first, partner, 8, rng).argmax(1)
        images = torch.cat([first.images, partner.images])
        made = []
        for group in range(GROUPS):
            features = [self.network.encoder(images[number * GROUPS + group][None])[0] for number in range(IMAGES)]
            rows = [
                torch.stack([features[int(owner[group, row, column])][:, row, column] for column in range(8)], -1)
                for row in range(8)
            ]
            made.append(self.network.decoder(torch.stack(rows, 1)[None]))
        return torch.cat(made)

    def step(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        mixture = self.mixture(first, partner, rng)
        losses: dict[str, Any] = {"adversarial": ((self.discriminator(mixture) - 1) ** 2).mean()}
        several = [first.images, *partner.images.split(GROUPS)]
        outputs = [
            torch.cat([self.network.decoder(self.network.encoder(image[None])) for image in images])
            for images in several
        ]
        pairs = list(zip(outputs, several, strict=True))
        losses["reconstruction"] = sum(((output - images) ** 2).mean() for output, images in pairs)
        losses["perceptual"] = sum(laplacian_loss(output, images) for output, images in pairs)
        self.update(0, 1000 * losses["reconstruction"] + losses["perceptual"] + losses["adversarial"])
        if self.fresh:
            mixture = self.mixture(first, partner, rng)
        real = several[int(rng.integers(IMAGES, 1))]
        on_real, on_fake = self.discriminator(real), self.discriminator(mixture.detach())
        losses["discriminator"] = ((on_real - 1) ** 2).mean() + (on_fake**2).mean()
        self.update(1, losses["discriminator"])
        return losses

    def update(self, which: int, loss: Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[which].step()


@pytest.mark.parametrize("fake", ["reused", "fresh"])
@pytest.mark.parametrize("mask", ["grid", "segments"])
def test_steps_on_groups(fake: str, mask: str) -> None:
    """Two steps: all losses, and all weights at the end."""
    made = training("mask.images=3", f"generator.fake={fake}")
    if mask == "segments":
        made.mask = SegmentMask(min_size=60, images=3, assign="dirichlet", source="random")
    plain = PlainTraining(made, fresh=fake == "fresh")
    rngs = RandomStream(0), RandomStream(0)
    for step in range(2):
        losses, expected = made.step(*groups(step), rngs[0]), plain.step(*groups(step), rngs[1])
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value.detach(), rtol=1e-9, atol=0, msg=f"{name} in step {step}")
    made.advance()
    for trained, reference in ((made.network, plain.network), (made.discriminator, plain.discriminator)):
        for parameter, value in zip(trained.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(parameter, value, rtol=0, atol=1e-7)  # as in test_chimera_step.py


def test_nothing_is_computed_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of all images in, one of their reconstructions and the compositions out."""
    made = training("mask.images=3")
    calls = counted(made, monkeypatch)
    made.step(*groups(), RandomStream(0))
    assert calls == {"encode": [6], "decode": [8]}


def test_the_real_batch_is_one_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    made = training("mask.images=3")
    first, partner = groups()
    several = [first.images, *partner.images.split(GROUPS)]
    rng, seen = RandomStream(0), []
    monkeypatch.setattr(made, "_update_generator", lambda *_: ({}, first.images))
    monkeypatch.setattr(made, "_update_discriminator", lambda real, fake: seen.append(real))
    for _ in range(900):
        made.step(first, partner, rng)
    counts = [sum(torch.equal(real, images) for real in seen) for images in several]
    assert sum(counts) == 900
    assert chisquare(counts).pvalue > 0.001


def test_a_picture_has_columns_for_all_images() -> None:
    made = training("mask.images=3", dtype=torch.float32)
    first, partner = (Batch(one.images.float(), one.labels) for one in groups())
    columns = made.preview(first, partner, RandomStream(0))
    names = ["first", "partner 1", "partner 2"]
    composed = [f"{what} {number}" for number in (1, 2, 3) for what in ("mask", "composition")]
    assert list(columns) == [*names, *(f"{name}, reconstructed" for name in names), *composed]
    assert torch.equal(columns["partner 2"], partner.images[GROUPS:])
    rng = RandomStream(0)
    owner = GridMask(4, images=3)(first, partner, 8, rng).argmax(1)
    grey = torch.tensor([1.0, 0, -1])[owner].repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(columns["mask 1"], grey[:, None].expand(-1, 3, -1, -1))
