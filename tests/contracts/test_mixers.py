"""What the training loop expects of every mixer in conf/mixer, made from its file."""

import pytest
import torch
from torch import Tensor

from chimeramix.errors import UserError
from chimeramix.mixing import Mixer
from chimeramix.runs import build
from chimeramix.streams import RunStreams
from chimeramix.types import Batch
from tests.contracts.parts import CPU, config_of, generator_of, options, views_of

SMALL = {
    "chimera": ["generator=chimera", "generator.image_size=32", "generator.features=4"],
    "glico": ["generator=glico", "generator.latent_dim=16"],
    "supermix": ["generator=supermix"],
    "none": [],
}
INDEX = torch.arange(30)


def words_of(option: str) -> list[str]:
    """The option with a mask, and with a generator that it can use."""
    kind = option if option in SMALL else "chimera" if "chimera" in option else "none"
    return [f"mixer={option}", "mask=segments", *SMALL[kind]]


def made(option: str, seed: int = 0, *more: str) -> tuple[Mixer, Batch]:
    config = config_of(*words_of(option), *more)
    streams = RunStreams(seed, CPU)
    mask = build.part(config, "mask")
    views = views_of(config, seed, mask)
    network = generator_of(config, views.subset).network if build.needs_generator(config) else None
    return build.mixer(config, views, streams, 10, network), views_of(config, 0, mask)(INDEX)


def mix(option: str, seed: int = 0, times: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Several batches: some mixers leave half of them as they are."""
    mixer, batch = made(option, seed)
    return [mixer.mix(batch) for _ in range(times)]


@pytest.fixture(params=options("mixer"))
def option(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_images_and_targets(option: str) -> None:
    mixer, batch = made(option)
    before = batch.images.clone()
    for _ in range(4):
        images, targets = mixer.mix(batch)
        assert images.shape == batch.images.shape
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        assert images.abs().max() <= 1 + 1e-5  # normalised with 0.5 and 0.5
        assert targets.shape == (30, 10)
        assert targets.dtype == torch.float32
        assert (targets >= 0).all()
        torch.testing.assert_close(targets.sum(1), torch.ones(30))
        assert not images.requires_grad
        assert not targets.requires_grad
    assert torch.equal(batch.images, before)


def test_something_is_mixed_unless_it_is_none(option: str) -> None:
    _, batch = made(option)
    changed = any(not torch.equal(images, batch.images) for images, _ in mix(option, times=6))
    assert changed == (option != "none")


def test_the_seed_decides(option: str) -> None:
    first, again, other = mix(option), mix(option), mix(option, seed=1)
    for (images, targets), (same_images, same_targets) in zip(first, again, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(targets, same_targets)
    if option != "none":
        assert any(not torch.equal(images, others) for (images, _), (others, _) in zip(first, other, strict=True))


@pytest.mark.parametrize("count", [1, 7])
def test_smaller_batches(option: str, count: int) -> None:
    mixer, batch = made(option)
    assert batch.index is not None
    assert batch.segments is not None
    part = Batch(batch.images[:count], batch.labels[:count], batch.index[:count], batch.segments[:count])
    for _ in range(3):
        images, targets = mixer.mix(part)
        assert images.shape == (count, 3, 32, 32)
        assert targets.shape == (count, 10)


@pytest.mark.parametrize("option", [name for name in options("mixer") if name != "none"])
def test_a_probability_of_0_is_plain_training(option: str) -> None:
    keys = [f"mixer.mixers.{name}" for name in option.split("_")] if "_" in option else ["mixer"]
    mixer, batch = made(option, 0, *(f"{key}.probability=0" for key in keys))
    for _ in range(3):
        images, targets = mixer.mix(batch)
        assert torch.equal(images, batch.images)
        assert torch.equal(targets, torch.eye(10)[batch.labels])


@pytest.mark.parametrize("option", [name for name in options("mixer") if name != "supermix"])
def test_labels_of_one_class_stay(option: str) -> None:
    """Mixing images of one class leaves the labels as they are; SuperMix has images of its own."""
    mixer, batch = made(option)
    index = INDEX[batch.labels == 4]
    assert batch.segments is not None
    part = Batch(batch.images[index], batch.labels[index], index, batch.segments[index])
    _, targets = mixer.mix(part)
    torch.testing.assert_close(targets, torch.eye(10)[[4, 4, 4]])


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown key mixer\.alpa; did you mean mixer\.alpha"):
        config_of("mixer=cutmix", "+mixer.alpa=1")
    with pytest.raises(UserError, match=r"mixer\.methods\.fmix\.decy"):
        config_of("mixer=miamix", "+mixer.methods.fmix.decy=1")
    with pytest.raises(UserError, match=r"mixer\.mixers\.miamix\.layer;"):
        config_of(*words_of("chimera_miamix"), "+mixer.mixers.miamix.layer=1")
