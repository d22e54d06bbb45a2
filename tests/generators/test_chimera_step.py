"""One training step against a plain re-computation in float64."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from chimeramix import build
from chimeramix.config import compose_settings
from chimeramix.generators.chimera import ChimeraTraining
from chimeramix.machine import Machine
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

CPU = Machine(torch.device("cpu"))
LR, BETAS = 2e-4, (0.5, 0.999)


def training(*overrides: str) -> ChimeraTraining:
    """The configured generator, small and in float64."""
    small = ["generator.features=4", "generator.discriminator.features=4", "generator.image_size=32"]
    settings = compose_settings("generator", ["+dataset=cifair10", "+experiment=chimeramix_grid", *small, *overrides])
    made: ChimeraTraining = build.generator(settings.values)
    made.network.double()
    made.discriminator.double()
    made.prepare(CPU, total_steps=100)
    return made


@pytest.fixture
def pair() -> tuple[Batch, Batch]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.zeros(3, dtype=torch.long)
    return Batch(images[0], labels), Batch(images[1], labels)


def laplacian_loss(output: Tensor, target: Tensor) -> Tensor:
    """Three levels, by definition: blur with the binomial kernel, drop every second pixel, and back up."""
    kernel = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64)
    kernel = (kernel[:, None] * kernel / 256).expand(3, 1, 5, 5)

    def blur(image: Tensor, factor: float = 1.0) -> Tensor:
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
        return torch.nn.functional.conv2d(padded, factor * kernel, groups=3)

    total = torch.zeros((), dtype=torch.float64)
    for _ in range(3):
        levels = []
        for image in (output, target):
            small = blur(image)[..., ::2, ::2]
            stuffed = torch.zeros_like(image)
            stuffed[..., ::2, ::2] = small
            levels.append((image - blur(stuffed, 4), small))
        total = total + (levels[0][0] - levels[1][0]).abs().mean()
        output, target = levels[0][1], levels[1][1]
    return total


def adam(parameters: list[Tensor], loss: Tensor) -> list[Tensor]:
    """The first step of Adam, by its equations."""
    gradients = torch.autograd.grad(loss, parameters)
    stepped = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        mean = (1 - BETAS[0]) * gradient / (1 - BETAS[0])
        square = (1 - BETAS[1]) * gradient**2 / (1 - BETAS[1])
        stepped.append((parameter - LR * mean / (square.sqrt() + 1e-8)).detach())
    return stepped


@pytest.mark.parametrize("fake", ["reused", "fresh"])
@pytest.mark.parametrize("blocks", ["applied", "discarded"])
def test_one_step(fake: str, blocks: str, pair: tuple[Batch, Batch]) -> None:
    made = training(f"generator.fake={fake}", f"generator.decoder_blocks={blocks}")
    twin = training(f"generator.fake={fake}", f"generator.decoder_blocks={blocks}")
    first, partner = pair
    losses = made.step(first, partner, RandomStream(4))

    # The same draws in the same order: a mask, with `fresh` another one, and a coin for the real batch.
    rng = RandomStream(4)
    network, discriminator = twin.network, twin.discriminator
    encoded = network.encoder(first.images), network.encoder(partner.images)
    mask = twin.mask(first, partner, 8, rng).double()
    mixed = network.decoder(encoded[0] * mask + encoded[1] * (1 - mask))
    outputs = network.decoder(encoded[0]), network.decoder(encoded[1])
    targets = first.images, partner.images
    reconstruction = sum(((o - t) ** 2).mean() for o, t in zip(outputs, targets, strict=True))
    perceptual = sum(laplacian_loss(o, t) for o, t in zip(outputs, targets, strict=True))
    adversarial = ((discriminator(mixed) - 1) ** 2).mean()
    expected_network = adam(list(network.parameters()), 1000 * reconstruction + perceptual + adversarial)

    composition = mixed.detach()
    if fake == "fresh":
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), expected_network, strict=True):
                parameter.copy_(value)
            encoded = network.encoder(first.images), network.encoder(partner.images)
            mask = twin.mask(first, partner, 8, rng).double()
            composition = network.decoder(encoded[0] * mask + encoded[1] * (1 - mask))
    real = first.images if rng.coin(0.5) else partner.images
    discriminating = ((discriminator(real) - 1) ** 2).mean() + (discriminator(composition) ** 2).mean()
    expected_discriminator = adam(list(discriminator.parameters()), discriminating)

    # Losses and masks of the package are float32; the networks and the optimiser are float64 here.
    expected = {
        "reconstruction": reconstruction,
        "perceptual": perceptual,
        "adversarial": adversarial,
        "discriminator": discriminating,
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].double(), value.detach(), rtol=2e-6, atol=1e-7, msg=name)
    for module, stepped in ((made.network, expected_network), (made.discriminator, expected_discriminator)):
        for parameter, value in zip(module.parameters(), stepped, strict=True):
            # A first Adam step is LR times the gradient's sign where the gradient exceeds eps: compare with that size.
            difference = (parameter - value).abs()
            assert (difference < 0.01 * LR).double().mean() > 0.99
            assert difference.max() <= 2.001 * LR


def test_the_generators_step_leaves_the_discriminator_alone(pair: tuple[Batch, Batch]) -> None:
    made = training()
    before = [parameter.clone() for parameter in made.discriminator.parameters()]
    made._update_generator(*pair, RandomStream(0))
    assert all(parameter.grad is None for parameter in made.discriminator.parameters())
    for parameter, old in zip(made.discriminator.parameters(), before, strict=True):
        assert torch.equal(parameter, old)


def test_a_loss_without_weight_is_not_computed(pair: tuple[Batch, Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    made = training("generator.adversarial_weight=0")
    monkeypatch.setattr(made, "discriminator", None)  # would fail if it were called
    assert made.step(*pair, RandomStream(0)).keys() == {"reconstruction", "perceptual"}
    made = training("generator.reconstruction_weight=0", "generator.perceptual_weight=0")
    decoded: list[int] = []
    decode = made.network.decode

    def counting(features: Tensor) -> Tensor:
        decoded.append(len(features))
        return decode(features)

    monkeypatch.setattr(made.network, "decode", counting)
    assert made.step(*pair, RandomStream(0)).keys() == {"adversarial", "discriminator"}
    assert decoded == [3]  # the mixture of each pair, no reconstruction


def test_a_step_decodes_three_images_a_pair_and_encodes_two(
    pair: tuple[Batch, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training()
    calls: dict[str, list[int]] = {"encode": [], "decode": []}

    def count(name: str) -> None:
        original = getattr(made.network, name)

        def counting(inputs: Tensor) -> Tensor:
            calls[name].append(len(inputs))
            return original(inputs)

        monkeypatch.setattr(made.network, name, counting)

    count("encode")
    count("decode")
    made.step(*pair, RandomStream(0))
    assert calls == {"encode": [6], "decode": [9]}


def test_state_round_trip(pair: tuple[Batch, Batch]) -> None:
    made, other = training(), training("seed=5")
    made.step(*pair, RandomStream(0))
    other.load_state_dict(copy.deepcopy(made.state_dict()))  # as from a file: torch's optimisers keep what they load
    after = [dict(one.step(*pair, RandomStream(1))) for one in (made, other)]
    assert after[0] == after[1]
    for one, two in zip(made.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("size", [66, 30, 28, 16])
def test_sizes_that_cannot_be_halved_twice_are_refused(size: int) -> None:
    with pytest.raises(Exception, match="image_size must be a multiple of 4"):
        training(f"generator.image_size={size}")


def test_official_preset_behaves_as_the_published_code() -> None:
    settings = compose_settings(
        "generator", ["+dataset=cifair10", "+experiment=chimeramix_grid", "generator=chimera_official"]
    )
    generator: dict[str, Any] = settings.values["generator"]
    assert generator["decoder_blocks"] == "discarded"
    assert generator["fake"] == "fresh"
    assert generator["optimizer"]["weight_decay"] == 0
    assert generator["include_self"]
