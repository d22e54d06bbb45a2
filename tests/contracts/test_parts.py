"""What a run expects of every other part that has a file in conf."""

import copy

import pytest
import torch

from chimeramix.machine import Machine
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from tests.contracts.parts import CPU, config_of, generator_of, options, views_of


def pixels(count: int, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    segments = (torch.arange(size) // 5)[None, :, None] * 7 + (torch.arange(size) // 5)[None, None]
    return images, segments.expand(count, -1, -1).to(torch.int16)


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("option", options("augment"))
def test_augment(option: str, count: int) -> None:
    augment = build.part(config_of(f"augment={option}"), "augment")
    images, segments = pixels(count)
    copies = images.clone(), segments.clone()
    moved, labels = augment(images, segments, RandomStream(0))
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    assert labels.shape == segments.shape
    assert labels.dtype == segments.dtype
    for before, after in zip(segments, labels, strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist())
    assert torch.equal(images, copies[0])
    assert torch.equal(segments, copies[1])
    assert torch.equal(augment(images, segments, RandomStream(0))[0], moved)
    alone, nothing = augment(images, None, RandomStream(0))
    assert nothing is None
    assert torch.equal(alone, moved)
    assert not all(torch.equal(augment(images, None, RandomStream(seed))[0], moved) for seed in range(1, 8))


@pytest.mark.parametrize("option", options("erase"))
def test_erase(option: str) -> None:
    erase = build.part(config_of(f"erase={option}"), "erase")
    images = pixels(9)[0] / 127.5 - 1
    before = images.clone()
    erased = erase(images, RandomStream(0))
    assert erased.shape == images.shape
    assert erased.dtype == torch.float32
    assert torch.equal(images, before)
    assert torch.equal(erase(images, RandomStream(0)), erased)
    assert 0 < (erased != images).float().mean() < 0.6


@pytest.mark.parametrize("size", [8, 16, 24])
@pytest.mark.parametrize("option", options("mask"))
def test_mask(option: str, size: int) -> None:
    config = config_of(f"mask={option}")
    mask = build.part(config, "mask")
    mask.check(size)
    views = views_of(config, 0, mask)
    first, partner = views(torch.arange(8)), views(torch.arange(8, 16))
    made = mask(first, partner, size, RandomStream(0))
    assert made.shape == (8, 1, size, size)
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(mask(first, partner, size, RandomStream(0)), made)


@pytest.mark.parametrize("option", options("loss"))
def test_loss(option: str) -> None:
    config = config_of(f"loss={option}")
    loss = build.loss(config, 10)
    labels = torch.arange(6)
    good = 5 * torch.eye(10)[labels]
    for targets in (torch.eye(10)[labels], 0.9 * torch.eye(10)[labels] + 0.01):
        right, wrong = loss(good, targets), loss(-good, targets)
        assert right.shape == ()
        assert right < wrong
    logits = torch.randn(6, 10, requires_grad=True)
    loss(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert [p.tolist() for p in build.loss(config, 10).parameters()] == [p.tolist() for p in loss.parameters()]


@pytest.mark.parametrize("option", options("model"))
def test_model(option: str) -> None:
    config = config_of(f"model={option}")
    model = build.model(config, 7).eval()
    with torch.no_grad():
        logits = model(torch.zeros(2, 3, 32, 32))
    assert logits.shape == (2, 7)
    again = build.model(config, 7)  # the run's seed decides on the weights
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("option", [name for name in options("generator") if name != "glico_vgg16"])
def test_generator(option: str) -> None:
    """One step on images of half the classes' size; `glico_vgg16` needs a file that nobody ships."""
    more = {
        "glico": [],
        "supermix": ["generator.epochs=1", "generator.pool_epochs=1", "generator.teacher.width=1"],
    }.get(option, ["generator.features=4", "generator.discriminator.features=4"])
    config = config_of(f"generator={option}", "mask=grid", "mixer=none", *more)
    views = views_of(config, 0)
    generator = generator_of(config, views.subset)
    generator.network.requires_grad_(True)
    generator.prepare(Machine(CPU), 10)
    before = copy.deepcopy(generator.state_dict())
    partner = views(torch.arange(3, 6)) if generator.needs_partners else None
    losses = generator.step(views(torch.arange(3)), partner, RandomStream(0))
    assert losses
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    learner = "teacher" if option == "supermix" else "network"
    after = generator.state_dict()[learner]
    assert any(not torch.equal(value, before[learner][name]) for name, value in after.items())
    columns = generator.preview(views.plain(torch.arange(3)), views.plain(torch.arange(3, 6)), RandomStream(0))
    assert all(images.shape == (3, 3, 32, 32) for images in columns.values())
