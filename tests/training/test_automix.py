"""AutoMix's parts by hand, and a step against its losses written out: who learns from what."""

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.data.loader import EpochLoader
from chimeramix.data.views import Normalize, Views
from chimeramix.losses import SoftTargetCrossEntropy
from chimeramix.machine import Machine
from chimeramix.mixing import Identity
from chimeramix.models import ParametricScattering, WideResNet, harmonic_resnet, resnet
from chimeramix.optimize import Optimisation
from chimeramix.streams import RandomStream, RunStreams
from chimeramix.training.automix import AutoMix, AutoMixTraining
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.evaluation import Evaluator
from chimeramix.training.mixing_block import MixingBlock, partner_mask
from chimeramix.training.network_parts import features_at, last_layer, with_own_layer
from chimeramix.training.schedules import Constant, Cosine
from chimeramix.types import Batch, Subset

CPU = Machine(torch.device("cpu"))
CLASSES = 4


class Small(nn.Module):
    """Without batch normalisation, so that losses can be written out."""

    mixing_layer = "stage"

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.rest = nn.Conv2d(6, 5, 3)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features = F.softplus(self.rest(F.softplus(self.stage(images))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def plain(tmp_path: Path, model: nn.Module, loss: nn.Module | None = None) -> ClassifierTraining:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
    subset = Subset(images, torch.arange(12) % CLASSES, CLASSES)
    normalize = Normalize([0.5] * 3, [0.5] * 3, CPU.device)
    views = Views(subset, lambda images, segments, rng: (images, segments), normalize, RandomStream(0))
    optimisation = Optimisation(model.parameters(), partial(torch.optim.SGD, lr=0.1), Constant(), 10, CPU)
    nothing = Evaluator("test", [], torch.zeros(0), torch.zeros(0), ["a", "b", "c", "d"], lambda images: images, CPU)
    return ClassifierTraining(
        model=model,
        mixer=Identity(CLASSES),
        loss=loss or SoftTargetCrossEntropy(),
        loader=EpochLoader(views, 6, 1, RandomStream(1)),
        optimisation=optimisation,
        evaluator=nothing,
        epochs=5,
        evaluate_every=0,
        machine=CPU,
        folder=tmp_path,
        predictions=tmp_path / "predictions.npz",
    )


def made(tmp_path: Path, model: nn.Module | None = None, **settings: Any) -> AutoMixTraining:
    if model is None:
        torch.manual_seed(0)
        model = Small()
    return AutoMix(**settings).training(plain(tmp_path, model), RunStreams(0, CPU.device), None)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(torch.randn(6, 3, 8, 8, generator=generator), torch.arange(6) % CLASSES, torch.arange(6), None)


def test_a_mask_is_attention_over_the_partners_positions() -> None:
    """Position by position in double precision, each of the 2 x 3 places enlarged to 4 x 4 pixels."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 8, 2, 3, generator=generator)
    order = torch.tensor([2, 0, 1])
    block = MixingBlock(8, 2, RandomStream(1))
    for layer in (block.embedding, block.value):
        nn.init.normal_(layer.weight, generator=generator)
        nn.init.normal_(layer.bias, generator=generator)
    found = partner_mask(*block(features), order, (8, 12))

    weight, bias = block.embedding.weight.detach().double().view(4, 8), block.embedding.bias.detach().double()
    worth, start = block.value.weight.detach().double().view(8), float(block.value.bias.detach())
    places = [(row, column) for row in range(2) for column in range(3)]
    for image in range(3):
        ours, theirs = features[image].double(), features[order[image]].double()
        for row, column in places:
            query = weight @ ours[:, row, column] + bias
            keys = {place: weight @ theirs[:, place[0], place[1]] + bias for place in places}
            likeness = {place: math.exp(float(query @ key) / math.sqrt(4)) for place, key in keys.items()}
            values = {place: float(worth @ theirs[:, place[0], place[1]]) + start for place in places}
            score = sum(likeness[place] * values[place] for place in places) / sum(likeness.values())
            area = found[image, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            expected = torch.full((4, 4), 1 / (1 + math.exp(-score)))
            torch.testing.assert_close(area.detach(), expected, atol=1e-5, rtol=1e-5)


def test_a_block_starts_with_half_of_each_image() -> None:
    """Weights of deviation 0.01 and biases of 0 make masks of about 1/2."""
    block = MixingBlock(64, 2, RandomStream(0))
    assert block.embedding.weight.shape[:2] == (32, 64)
    assert block.embedding.weight.std().item() == pytest.approx(0.01, rel=0.05)
    mask = partner_mask(*block(torch.randn(2, 64, 4, 4)), torch.tensor([1, 0]), (16, 16))
    torch.testing.assert_close(mask.detach(), torch.full((2, 1, 16, 16), 0.5), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("mean", "ratio", "expected"), [(0.3, 0.7, 0.0), (0.3, 0.65, 0.0), (0.3, 0.4, 0.2), (0.1, 0.5, 0.3)]
)
def test_the_mask_loss_by_hand(mean: float, ratio: float, expected: float) -> None:
    """The images weigh 1 - mean, which may be 0.1 off the ratio; the mean is that of all masks of the batch."""
    mask = torch.cat([torch.full((2, 1, 4, 4), 2 * mean), torch.zeros(2, 1, 4, 4)])
    assert AutoMix().mask_loss(mask, torch.tensor(ratio)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("ratio", "expected"), [(0.08, 0.92), (0.92, 0.08), (0.081, 0.3), (0.5, 0.3)])
def test_extreme_ratios_are_mixups(ratio: float, expected: float) -> None:
    mask = AutoMix().or_mixup(torch.full((2, 1, 4, 4), 0.3), torch.tensor(ratio))
    torch.testing.assert_close(mask, torch.full((2, 1, 4, 4), expected))


def test_the_momentum_by_hand() -> None:
    """0.999 in the first tenth; then as if a half cosine from 0.999 to 0.999999 had begun at the start."""
    momentum = partial(AutoMix().momentum_of, steps=1000)
    assert [momentum(step) for step in (0, 50, 99)] == [0.999] * 3
    assert momentum(100) == pytest.approx(0.999 + 0.000999 * (1 - math.cos(0.1 * math.pi)) / 2, abs=1e-12)
    assert momentum(500) == pytest.approx((0.999 + 0.999999) / 2, abs=1e-12)
    assert momentum(1000) == pytest.approx(0.999999, abs=1e-12)
    assert AutoMix(momentum=0.5, end_momentum=0.5).momentum_of(700, 1000) == 0.5


def test_a_step_teaches_each_network_by_its_own_losses(tmp_path: Path) -> None:
    """Steps of 0.1 along gradients that are computed loss by loss: the classifier's from clean and mixed images, the
    block's from what the momentum network makes of its masks and from their mean; the momentum network takes none."""
    training = made(tmp_path, mask_margin=0.0)
    model, block = copy.deepcopy(training.model), copy.deepcopy(training._block)
    teacher, second = copy.deepcopy(model), copy.deepcopy(model.head)
    rng = RandomStream(0)
    rng.load_state_dict(training.rng.state_dict())
    given = batch()
    images, labels = given.images, torch.eye(CLASSES)[given.labels]
    figures = training.step(given)

    block_ratio, ratio = rng.beta(2.0, 2)
    block_order, order = rng.permutation(6), rng.permutation(6)
    features = teacher.stage(images).detach()
    block_mask = partner_mask(*block(features), block_order, (8, 8))
    composed = (1 - block_mask) * images + block_mask * images[block_order]
    cross_entropy = F.cross_entropy  # torch's own takes soft targets too
    block_loss = cross_entropy(teacher(composed), block_ratio * labels + (1 - block_ratio) * labels[block_order])
    mask_loss = (1 - block_mask.mean() - block_ratio).abs()
    mask = partner_mask(*block(features), order, (8, 8)).detach()
    assert 0.08 < ratio < 0.92
    mixed = F.softplus(model.rest(F.softplus(model.stage((1 - mask) * images + mask * images[order]))))
    mixed_loss = cross_entropy(second(mixed.mean((2, 3))), ratio * labels + (1 - ratio) * labels[order])
    clean_loss = cross_entropy(model(images), given.labels)

    expected = {"loss": mixed_loss, "clean_loss": clean_loss, "block_loss": block_loss, "mask_loss": mask_loss}
    for name, loss in expected.items():
        torch.testing.assert_close(figures[name], loss.detach())
    assert mask_loss > 0

    def check(learner: nn.Module, before: nn.Module, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, list(before.parameters()), retain_graph=True)
        for after, start, gradient in zip(learner.parameters(), before.parameters(), gradients, strict=True):
            assert gradient.abs().max() > 0
            torch.testing.assert_close(start - after, 0.1 * gradient, atol=1e-7, rtol=1e-3)

    check(training._block, block, block_loss + 0.1 * mask_loss)
    check(training.model, model, mixed_loss + clean_loss)
    check(training._mixed.head, second, mixed_loss)
    for after, start in zip(training._momentum.network.parameters(), teacher.parameters(), strict=True):
        assert after.grad is None
        assert torch.equal(after, start)


def test_the_momentum_network_follows_the_head_for_mixed_images(tmp_path: Path) -> None:
    training = made(tmp_path, momentum=0.75, end_momentum=0.75)
    expected = [weight.clone() for weight in training._mixed.parameters()]
    for _ in range(3):
        training.step(batch())
        training.advance(6)
        now = training._mixed.parameters()
        expected = [0.75 * mean + 0.25 * weight.detach() for mean, weight in zip(expected, now, strict=True)]
    for found, mean in zip(training._momentum.network.parameters(), expected, strict=True):
        torch.testing.assert_close(found, mean)


def test_the_block_may_learn_at_a_rate_of_its_own(tmp_path: Path) -> None:
    """Half of the optimiser's 0.1, and along a schedule from there to a tenth of it."""
    training = made(tmp_path, block_rate=0.5, block_schedule=Cosine(0.1))
    assert training._further["block"].learning_rate == pytest.approx(0.05)
    for _ in range(10):
        training.advance(6)
    assert training._further["block"].learning_rate == pytest.approx(0.005)
    assert training._further["head"].learning_rate == training.learning_rate == pytest.approx(0.1)


def test_one_head_for_clean_and_mixed_images(tmp_path: Path) -> None:
    training = made(tmp_path, separate_heads=False)
    training.step(batch())
    assert list(training.networks) == ["plain"]
    assert training._mixed is training.model


def test_what_follows_the_feature_maps_is_not_computed() -> None:
    """Not even a layer behind them is called; afterwards the network is as it was."""
    model = Small()
    images = torch.randn(2, 3, 8, 8)
    rest = model.rest
    model.rest = nn.Identity()
    model.rest.forward = lambda inputs: pytest.fail("called")  # type: ignore[method-assign]
    features = features_at(model, "stage", images)
    torch.testing.assert_close(features, model.stage(images))
    model.rest = rest
    assert model(images).shape == (2, CLASSES)


def test_a_second_network_shares_all_but_its_last_layer() -> None:
    model = WideResNet(CLASSES, 10, 1)
    second, head = with_own_layer(model, last_layer(model, CLASSES))
    images = torch.randn(2, 3, 8, 8)
    second(images)
    ours, theirs = model.state_dict(keep_vars=True), second.state_dict(keep_vars=True)
    assert [name for name in ours if ours[name] is not theirs[name]] == ["head.weight", "head.bias"]
    assert model.norm.num_batches_tracked == 1
    torch.testing.assert_close(model.eval()(images), second.eval()(images))
    nn.init.zeros_(head.weight)
    assert not torch.allclose(model(images), second(images))


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (lambda: WideResNet(CLASSES, 10, 2), 64),
        (lambda: resnet(CLASSES, "resnet18", "cifar"), 256),
        (lambda: resnet(CLASSES, "resnet50", "imagenet"), 1024),
        (lambda: harmonic_resnet(CLASSES, "resnet18", "cifar"), 256),
    ],
)
def test_the_models_name_their_last_but_one_stage(model: Any, channels: int) -> None:
    with torch.device("meta"):
        AutoMix().check(model(), CLASSES, 32)
        assert AutoMix().channels(model(), 32) == channels


@pytest.mark.parametrize(
    ("settings", "model", "expected"),
    [
        ({}, ParametricScattering, r"feature maps of ParametricScattering .* set procedure\.layer"),
        ({"layer": "group"}, lambda classes: WideResNet(classes, 10, 1), r"procedure\.layer=group: WideResNet has no"),
        ({"layer": "head"}, lambda classes: WideResNet(classes, 10, 1), r"gives \[2, 4\] of WideResNet, not feature"),
        ({}, lambda classes: WideResNet(classes + 1, 10, 1), r"no linear layer of 4 outputs: set procedure\.separate"),
    ],
)
def test_models_that_it_cannot_train(settings: dict[str, Any], model: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected), torch.device("meta"):
        AutoMix(**settings).check(model(CLASSES), CLASSES, 32)


def test_another_models_layer_can_be_named() -> None:
    with torch.device("meta"):
        AutoMix(layer="network.8").check(ParametricScattering(CLASSES), CLASSES, 32)


def test_a_loss_with_weights_is_refused(tmp_path: Path) -> None:
    class Learned(nn.Linear):
        pass

    with pytest.raises(ValueError, match="a loss without weights of its own, Learned has some: choose loss=cross"):
        AutoMix().training(plain(tmp_path, Small(), Learned(2, 2)), RunStreams(0, CPU.device), None)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.0},
        {"reduction": 0},
        {"momentum": 1.0},
        {"constant_momentum": -0.1},
        {"mask_weight": -1.0},
        {"mask_margin": -1.0},
        {"ratio_margin": 0.6},
        {"block_rate": -1.0},
    ],
)
def test_bad_parameters_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        AutoMix(**settings)
