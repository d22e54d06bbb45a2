"""Training steps of the ChimeraMix generator against a plain re-computation in float64."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from chimeramix.generators import ChimeraGenerator
from chimeramix.generators.networks import Decoder, PatchDiscriminator, ResidualBlock
from chimeramix.machine import Machine
from chimeramix.masks.segments import SegmentMask
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from chimeramix.types import Batch
from tests.composing import composed

CPU = Machine(torch.device("cpu"))
STEPS = 6
SMALL = ["generator.features=4", "generator.discriminator.features=4", "generator.image_size=32"]


def training(*overrides: str, dtype: torch.dtype = torch.float64) -> ChimeraGenerator:
    """The configured generator, small; in float64 every figure of a step can be checked to many digits."""
    settings = composed("generator", ["+dataset=cifair10", "+experiment=chimeramix_grid", *SMALL, *overrides])
    made: ChimeraGenerator = build.generator(settings.config)
    made.network.to(dtype)
    made.discriminator.to(dtype)
    made.prepare(CPU, total_steps=STEPS)
    return made


def pairs(seed: int = 1, count: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Batch, Batch]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, count, 3, 32, 32, generator=generator, dtype=dtype) * 2 - 1
    labels = torch.zeros(count, dtype=torch.long)
    segments = (torch.arange(32) // 8).expand(count, 32, 32)
    return Batch(images[0], labels, None, segments), Batch(images[1], labels, None, segments)


@pytest.fixture
def pair() -> tuple[Batch, Batch]:
    return pairs()


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


class PlainTraining:
    """The same training written down step by step: images go through the networks one by one, each quantity is computed
    where it is needed, and torch's Adam gets the rates by the epoch numbers of the paper."""

    def __init__(self, like: ChimeraGenerator, fresh: bool) -> None:
        self.network = copy.deepcopy(like.network)
        self.discriminator = copy.deepcopy(like.discriminator)
        self.mask = like.mask
        self.fresh = fresh
        adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.optimizers = [
            torch.optim.Adam(module.parameters(), **adam) for module in (self.network, self.discriminator)
        ]
        # Epochs 60, 120 and 160 of 200 are steps 1.8, 3.6 and 4.8 of 6: the rate falls with the steps 2, 4 and 5.
        self.schedules = [torch.optim.lr_scheduler.MultiStepLR(one, [2, 4, 5], 0.2) for one in self.optimizers]
        self.reals: list[str] = []

    def mixture(self, first: Batch, partner: Batch, rng: RandomStream) -> Tensor:
        masks = self.mask(first, partner, 8, rng).double()
        mixed = []
        for a, b, mask in zip(first.images, partner.images, masks, strict=True):
            features_a, features_b = self.network.encoder(a[None]), self.network.encoder(b[None])
            mixed.append(self.network.decoder(mask * features_a + (1 - mask) * features_b))
        return torch.cat(mixed)

    def reconstruction(self, images: Tensor) -> Tensor:
        return torch.cat([self.network.decoder(self.network.encoder(image[None])) for image in images])

    def step(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        mixture = self.mixture(first, partner, rng)
        losses = {
            "reconstruction": torch.zeros((), dtype=torch.float64),
            "perceptual": torch.zeros((), dtype=torch.float64),
            "adversarial": ((self.discriminator(mixture) - 1) ** 2).mean(),
        }
        for images in (first.images, partner.images):
            output = self.reconstruction(images)
            losses["reconstruction"] = losses["reconstruction"] + ((output - images) ** 2).mean()
            losses["perceptual"] = losses["perceptual"] + laplacian_loss(output, images)
        self.update(0, 1000 * losses["reconstruction"] + losses["perceptual"] + losses["adversarial"])

        if self.fresh:
            mixture = self.mixture(first, partner, rng)
        self.reals.append("first" if rng.coin(0.5) else "partner")
        real = first.images if self.reals[-1] == "first" else partner.images
        on_real, on_fake = self.discriminator(real), self.discriminator(mixture.detach())
        losses["discriminator"] = ((on_real - 1) ** 2).mean() + (on_fake**2).mean()
        self.update(1, losses["discriminator"])
        return losses

    def update(self, which: int, loss: Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[which].step()
        self.schedules[which].step()


@pytest.mark.parametrize("fake", ["reused", "fresh"])
@pytest.mark.parametrize("blocks", ["applied", "discarded"])
@pytest.mark.parametrize("mask", ["grid", "segments"])
def test_a_whole_training(fake: str, blocks: str, mask: str) -> None:
    """Six steps on other pairs each time: all losses of each step, all weights at the end."""
    made = training(f"generator.fake={fake}", f"generator.decoder_blocks={blocks}")
    if mask == "segments":
        made.mask = SegmentMask(min_size=60)
    plain = PlainTraining(made, fresh=fake == "fresh")
    before = copy.deepcopy(made.network.state_dict())
    rngs = RandomStream(0), RandomStream(0)
    for step in range(STEPS):
        pair = pairs(seed=step, count=3 if step < 5 else 1)  # the last batch of an epoch may be smaller
        losses, expected = made.step(*pair, rngs[0]), plain.step(*pair, rngs[1])
        made.advance()
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value.detach(), rtol=1e-9, atol=0, msg=f"{name} in step {step}")
            assert not losses[name].requires_grad
    assert set(plain.reals) == {"first", "partner"}
    assert made.learning_rate == pytest.approx(2e-4 * 0.2**3)
    for trained, reference in ((made.network, plain.network), (made.discriminator, plain.discriminator)):
        for parameter, value in zip(trained.parameters(), reference.parameters(), strict=True):
            # A step is 2e-4. Biases before an instance norm have no gradient but rounding errors (1e-13), which Adam
            # divides by its eps of 1e-8: up to 2e-9 apart here.
            torch.testing.assert_close(parameter, value, rtol=0, atol=1e-7)
    moved = max((value - before[name]).abs().max() for name, value in made.network.state_dict().items())
    assert moved > 1e-4


def test_single_precision_gives_the_same_losses(pair: tuple[Batch, Batch]) -> None:
    """What a run computes, float32, differs from float64 by rounding only."""
    single, double = training(dtype=torch.float32), training()
    pair_single = tuple(Batch(one.images.float(), one.labels) for one in pair)
    losses = single.step(*pair_single, RandomStream(0))
    expected = double.step(*pair, RandomStream(0))
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=2e-6, atol=0, msg=name)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_losses_in_single(precision: str) -> None:
    """Half precision has 8 or 11 significant bits; the losses, means over many numbers, come out within 2 %."""
    half, single = training(dtype=torch.float32), training(dtype=torch.float32)
    half.prepare(Machine(torch.device("cpu"), precision), STEPS)
    pair = pairs(dtype=torch.float32)
    losses, expected = half.step(*pair, RandomStream(0)), single.step(*pair, RandomStream(0))
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], value, rtol=0.02, atol=0, msg=name)


def test_the_real_batch_is_one_of_both_by_a_fair_coin(
    pair: tuple[Batch, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training()
    rng = RandomStream(0)
    seen: list[Tensor] = []
    monkeypatch.setattr(made, "_update_generator", lambda *_: ({}, pair[0].images))
    monkeypatch.setattr(made, "_update_discriminator", lambda real, fake: seen.append(real))
    for _ in range(2000):
        made.step(*pair, rng)
    firsts = sum(real is pair[0].images for real in seen)
    assert firsts + sum(real is pair[1].images for real in seen) == 2000
    assert firsts == pytest.approx(1000, abs=112)  # five standard deviations


def test_the_generators_step_leaves_the_discriminator_alone(pair: tuple[Batch, Batch]) -> None:
    made = training()
    before = copy.deepcopy(made.discriminator.state_dict())
    made._update_generator(*pair, RandomStream(0))
    assert all(parameter.grad is None for parameter in made.discriminator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in made.discriminator.state_dict().items())


def test_the_discriminators_step_leaves_the_generator_alone(pair: tuple[Batch, Batch]) -> None:
    made = training()
    before = copy.deepcopy(made.network.state_dict())
    _, composition = made._update_generator(*pair, RandomStream(0))
    after = copy.deepcopy(made.network.state_dict())
    gradients = [parameter.grad.clone() for parameter in made.network.parameters() if parameter.grad is not None]
    assert composition is not None
    made._update_discriminator(pair[0].images, composition.detach())
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
    assert all(torch.equal(value, after[name]) for name, value in made.network.state_dict().items())
    for parameter, gradient in zip(made.network.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def test_without_adversarial_weight_there_is_no_discriminator(pair: tuple[Batch, Batch]) -> None:
    made = training("generator.adversarial_weight=0")
    before = copy.deepcopy(made.discriminator.state_dict())
    rng = RandomStream(0)
    assert made.step(*pair, rng).keys() == {"reconstruction", "perceptual"}
    assert all(torch.equal(value, before[name]) for name, value in made.discriminator.state_dict().items())
    assert torch.equal(rng.uniform(3), RandomStream(0).uniform(3))  # no mask either


@pytest.mark.parametrize(
    ("absent", "present"), [("reconstruction", {"perceptual"}), ("perceptual", {"reconstruction"})]
)
def test_a_loss_without_weight_is_absent(absent: str, present: set[str], pair: tuple[Batch, Batch]) -> None:
    losses = training(f"generator.{absent}_weight=0").step(*pair, RandomStream(0))
    assert losses.keys() == present | {"adversarial", "discriminator"}
    whole = training().step(*pair, RandomStream(0))
    for name, value in losses.items():  # what is there has the value it has beside the others
        torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=0)


def counted(made: ChimeraGenerator, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Images in each call of the networks."""
    calls: dict[str, list[int]] = {"encode": [], "decode": []}

    def count(name: str) -> None:
        original = getattr(made.network, name)

        def counting(inputs: Tensor) -> Tensor:
            calls[name].append(len(inputs))
            return original(inputs)

        monkeypatch.setattr(made.network, name, counting)

    count("encode")
    count("decode")
    return calls


@pytest.mark.parametrize(
    ("overrides", "encoded", "decoded"),
    [
        ([], [6], [9]),  # both images of 3 pairs; two reconstructions and a mixture
        (["generator.fake=fresh"], [6, 6], [9, 3]),
        (["generator.adversarial_weight=0"], [6], [6]),
        (["generator.reconstruction_weight=0", "generator.perceptual_weight=0"], [6], [3]),
    ],
)
def test_nothing_is_computed_in_vain(
    overrides: list[str],
    encoded: list[int],
    decoded: list[int],
    pair: tuple[Batch, Batch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = training(*overrides)
    calls = counted(made, monkeypatch)
    made.step(*pair, RandomStream(0))
    assert calls == {"encode": encoded, "decode": decoded}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_state_round_trip(precision: str) -> None:
    """Another instance goes on with the same bits: weights, moments, rates and, for fp16, the scale of the loss."""
    machine = Machine(torch.device("cpu"), precision)
    made, other = training(dtype=torch.float32), training("seed=5", dtype=torch.float32)
    for one in (made, other):
        one.prepare(machine, STEPS)
    for step in range(3):
        made.step(*pairs(step, dtype=torch.float32), RandomStream(step))
        made.advance()
    other.load_state_dict(copy.deepcopy(made.state_dict()))  # as from a file: torch's optimisers keep what they load
    for step in range(3, STEPS):
        pair = pairs(step, dtype=torch.float32)
        assert made.step(*pair, RandomStream(step)) == other.step(*pair, RandomStream(step))
        made.advance()
        other.advance()
        assert made.learning_rate == other.learning_rate
    for one, two in ((made.network, other.network), (made.discriminator, other.discriminator)):
        for parameter, value in zip(one.parameters(), two.parameters(), strict=True):
            assert torch.equal(parameter, value)


@pytest.mark.parametrize(("size", "advice"), [(66, 68), (30, 32), (28, 32), (16, 32)])
def test_sizes_that_cannot_be_halved_twice_are_refused(size: int, advice: int) -> None:
    with pytest.raises(Exception, match=f"image_size must be a multiple of 4.*got {size}.*image_size={advice}"):
        training(f"generator.image_size={size}")


@pytest.mark.parametrize("size", [32, 36, 64])
def test_sizes_that_can_be_halved_twice_are_trained_at(size: int) -> None:
    made = training(f"generator.image_size={size}")
    images = torch.rand(2, 2, 3, size, size, dtype=torch.float64) * 2 - 1
    labels = torch.zeros(2, dtype=torch.long)
    made.step(Batch(images[0], labels), Batch(images[1], labels), RandomStream(0))
    assert made.network.image_size == size


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generator.fake=old"], "must be reused or fresh"),
        (["generator.adversarial_weight=-1"], "must not be negative"),
        (
            [f"generator.{name}_weight=0" for name in ("reconstruction", "perceptual", "adversarial")],
            "a weight above 0",
        ),
        (["mask.mix_size=9"], "at most the 8 positions"),
        (["generator.epochs=0"], "epochs must be at least 1, got 0"),
    ],
)
def test_values_out_of_range_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        training(*overrides)


def test_official_preset_behaves_as_the_published_code() -> None:
    """No residual block in the decoder, a new mixture for the discriminator, strides 2, Adam without weight decay."""
    made = training("generator=chimera_official")
    assert isinstance(made.network.decoder, Decoder)
    assert not any(isinstance(module, ResidualBlock) for module in made.network.decoder.modules())
    assert sum(isinstance(module, ResidualBlock) for module in made.network.encoder.modules()) == 2
    assert made._fake == "fresh"
    assert made.include_self
    assert isinstance(made.discriminator, PatchDiscriminator)
    assert made.discriminator(torch.zeros(1, 3, 64, 64, dtype=torch.float64)).shape == (1, 1, 4, 4)
    adam = made._generator_step._optimizer
    assert type(adam) is torch.optim.Adam
    group: dict[str, Any] = adam.param_groups[0]
    assert group["lr"] == pytest.approx(2e-4, rel=1e-7)
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.999), 0)


def test_presets_differ_where_they_say_so() -> None:
    ours, official = (
        composed("generator", ["+dataset=cifair10", "+experiment=chimeramix_grid", f"generator={name}"])
        for name in ("chimera", "chimera_official")
    )
    differing = {key for key, value in official.config.generator.items() if ours.config.generator.get(key) != value}
    assert differing == {"decoder_blocks", "fake"}
