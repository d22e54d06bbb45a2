"""A training step of GLICO: what it lowers, what it moves, and what it leaves alone."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.generators import GlicoGenerator
from chimeramix.generators.glico import LimitedGradient
from chimeramix.losses import LaplacianPyramidLoss
from chimeramix.machine import Machine
from chimeramix.streams import RandomStream
from chimeramix.training.schedules import Cosine
from chimeramix.types import Batch, Subset

MACHINE = Machine(torch.device("cpu"), "fp32")
COUNT = 12


def subset(labels: torch.Tensor | None = None) -> Subset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (COUNT, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Subset(images, torch.arange(COUNT) % 3 if labels is None else labels, 3)


def made(labels: torch.Tensor | None = None, **settings: Any) -> GlicoGenerator:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "image_size": 32,
        "epochs": 1,
        "batch_size": 4,
        "epoch_labels_per_class": 1,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "augment": FlipCrop(0, 0),
        "optimizer": partial(torch.optim.Adam, lr=7e-4, betas=(0.5, 0.999)),
        "code_optimizer": partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999)),
        "classifier_optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        "schedule": Cosine(),
        "perceptual": LaplacianPyramidLoss(),
        "latent_dim": 16,
    }
    training = GlicoGenerator(**{**arguments, **settings})
    training.begin(subset(labels), RandomStream(1))
    training.prepare(MACHINE, 100)
    return training


def batch(*index: int, labels: torch.Tensor | None = None, labelled: bool = True) -> Batch:
    data = subset(labels)
    positions = torch.tensor(index)
    return Batch(data.images[positions] / 127.5 - 1, data.labels[positions], positions, labelled=labelled)


def test_the_losses_are_those_of_the_paper() -> None:
    """Pixels: mean absolute difference in [0, 1]; classifier: cross entropy of what was decoded."""
    training = made(noise="none", perceptual=None)
    data = batch(0, 1, 2, 3)
    with torch.no_grad():
        images = training.network.generate(training.network.codes[data.index], RandomStream(0))
        logits = training.classifier(images)
    losses = training.step(data, None, RandomStream(0))
    pixels = (images - subset().images[:4] / 255).abs().mean()
    torch.testing.assert_close(losses["pixels"], pixels)
    expected = -logits.log_softmax(1)[torch.arange(4), data.labels].mean()
    torch.testing.assert_close(losses["classifier"], expected, atol=1e-4, rtol=1e-3)
    assert set(losses) == {"pixels", "classifier"}


def test_a_step_moves_the_batchs_codes_and_stays_on_the_sphere() -> None:
    training = made()
    before = training.network.codes.detach().clone()
    training.step(batch(0, 5), None, RandomStream(0))
    after = training.network.codes.detach()
    moved = (after - before).norm(dim=1) > 1e-5
    assert moved.nonzero().flatten().tolist() == [0, 5]
    torch.testing.assert_close(after.norm(dim=1), torch.ones(COUNT))


def test_reconstruction_improves() -> None:
    training = made(gamma=0)
    rng = RandomStream(0)
    losses = [training.step(batch(0, 1, 2, 3), None, rng)["pixels"].item() for _ in range(30)]
    assert losses[-1] < 0.95 * losses[0]


def closeness(training: GlicoGenerator) -> float:
    """Mean cosine of two codes of one class, less that of two codes of different classes."""
    cosine = (training.network.codes @ training.network.codes.T).detach()
    labels = torch.arange(COUNT) % 3
    same = labels[:, None] == labels[None]
    other = ~torch.eye(COUNT, dtype=torch.bool)
    return (cosine[same & other].mean() - cosine[~same].mean()).item()


@pytest.mark.parametrize(("classifier", "gradient"), [("pixels", "limited"), ("pixels", "full"), ("latent", "full")])
def test_the_classifier_pulls_codes_of_a_class_together(classifier: str, gradient: str) -> None:
    fast = partial(torch.optim.Adam, lr=0.02, betas=(0.5, 0.999))
    settings: dict[str, Any] = {"perceptual": None, "gamma": 1.0, "noise": "none", "code_optimizer": fast}
    training = made(classifier=classifier, classifier_gradient=gradient, **settings)
    before, rng = closeness(training), RandomStream(0)
    for _ in range(20):
        training.step(batch(*range(COUNT)), None, rng)
    assert closeness(training) > before + 0.1


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("gradient", ["limited", "full"])
def test_the_gradients_of_a_step_in_float64(gradient: str, gamma: float) -> None:
    """Twice the absolute difference in [0, 1], that of images in [-1, 1], and gamma times the cross entropy, whose
    gradient on the images may be limited to gamma times the length of the other one."""
    settings: dict[str, Any] = {"noise": "none", "perceptual": None, "classifier_gradient": gradient, "gamma": gamma}
    training = made(classifier_optimizer=partial(torch.optim.SGD, lr=0.1), **settings)
    network, classifier = training.network.double(), training.classifier.double()
    data = batch(0, 1, 2, 3)
    data = Batch(data.images.double(), data.labels, data.index)

    images = network.generate(network.codes[data.index], RandomStream(0))
    from_pixels = torch.autograd.grad((2 * images - 1 - data.images).abs().mean(), images, retain_graph=True)[0]
    judged = images.detach().requires_grad_()
    entropy = -classifier(judged).log_softmax(1)[torch.arange(4), data.labels].mean()
    of_classifier = list(classifier.parameters())
    from_classifier, *expected_of_classifier = torch.autograd.grad(gamma * entropy, [judged, *of_classifier])
    assert from_classifier.norm() > 10 * from_pixels.norm(), "otherwise nothing is there to be limited"
    if gradient == "limited":
        from_classifier = gamma * from_classifier * (from_pixels.norm() / from_classifier.norm())
    of_decoder = [network.codes, *network.decoder.parameters()]
    expected = torch.autograd.grad(images, of_decoder, from_pixels + from_classifier)

    training.step(data, None, RandomStream(0))
    parameters = [*of_decoder, *of_classifier]
    for parameter, wanted in zip(parameters, [*expected, *expected_of_classifier], strict=True):
        # The cross entropy is computed in float32.
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("factor", "expected"), [(0.4, 1.0), (2.0, 0.25)])
def test_a_gradient_is_shortened_only_where_it_is_longer(factor: float, expected: float) -> None:
    images = torch.zeros(3, 2, requires_grad=True)
    first, second = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    second = second * factor * first.norm() / second.norm()
    one, other = LimitedGradient.apply(images, 0.5)
    ((first * one).sum() + (second * other).sum()).backward()
    torch.testing.assert_close(images.grad, first + expected * second)


def smooth(count: int) -> torch.Tensor:
    """Images `[count, 3, 32, 32]` in [-1, 1] with a few colours each, as a decoder learns in some steps."""
    colours = torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(colours, size=32, mode="bilinear")


def error_after(steps: int, **settings: Any) -> float:
    training, images = made(latent_dim=128, perceptual=None, noise="none", **settings), smooth(COUNT)
    rng = RandomStream(0)
    for _ in range(steps):
        training.step(Batch(images, torch.arange(COUNT) % 3, torch.arange(COUNT)), None, rng)
        training.advance()
    with torch.no_grad():
        decoded = training.network.decode(training.network.codes, rng)
    return float((decoded - images).square().mean().sqrt())


def test_the_classifier_does_not_keep_the_decoder_from_learning() -> None:
    """With its full gradient in the first steps, Adam's second moment is too large for many steps to come."""
    without, default, full = (
        error_after(15, **settings) for settings in ({"gamma": 0}, {}, {"classifier_gradient": "full"})
    )
    assert default < 1.5 * without
    assert full > 1.5 * default


def test_cleared_optimisers_are_like_new_ones_in_every_epoch() -> None:
    def constant(share: float) -> float:
        return 1.0

    # 100 steps in all: an epoch has 2.
    used, kept = (made(epochs=50, schedule=constant, optimizer_state=state) for state in ("cleared", "kept"))
    for training in (used, kept):
        rng = RandomStream(0)
        for _ in range(2):
            training.step(batch(0, 1, 2, 3), None, rng)
            training.advance()
    fresh = made(schedule=constant)
    fresh.network.load_state_dict(used.network.state_dict())
    fresh.classifier.load_state_dict(used.classifier.state_dict())
    for training in (used, kept, fresh):
        training.step(batch(4, 5, 6, 7), None, RandomStream(1))
    for part in ("network", "classifier"):
        states = [training.state_dict()[part] for training in (used, kept, fresh)]
        assert all(torch.equal(states[0][name], value) for name, value in states[2].items())
        assert not all(torch.equal(states[1][name], value) for name, value in states[2].items())


def test_gamma_0_has_no_classifier() -> None:
    training = made(gamma=0)
    before = {name: value.clone() for name, value in training.classifier.state_dict().items()}
    losses = training.step(batch(0, 1), None, RandomStream(0))
    assert set(losses) == {"pixels", "perceptual"}
    for name, value in training.classifier.state_dict().items():
        assert torch.equal(value, before[name])


def test_images_without_labels_train_codes_and_decoder_only() -> None:
    labels = torch.where(torch.arange(COUNT) < 8, torch.arange(COUNT) % 3, -1)
    training = made(labels, unlabelled=4)
    before = {name: value.clone() for name, value in training.classifier.state_dict().items()}
    codes = training.network.codes.detach().clone()
    losses = training.step(batch(8, 9, labels=labels, labelled=False), None, RandomStream(0))
    assert set(losses) == {"pixels", "perceptual"}
    assert (training.network.codes.detach() - codes).norm(dim=1)[[8, 9]].min() > 0
    for name, value in training.classifier.state_dict().items():
        assert torch.equal(value, before[name])
    training.step(batch(0, 1, labels=labels), None, RandomStream(0))
    assert any(not torch.equal(value, before[name]) for name, value in training.classifier.state_dict().items())


@pytest.mark.parametrize("optimizer_state", ["kept", "cleared"])
def test_a_restored_training_goes_on_to_the_same_bits(optimizer_state: str) -> None:
    one, other = (made(epochs=50, optimizer_state=optimizer_state) for _ in range(2))
    rng = RandomStream(0)
    for _ in range(3):
        one.step(batch(0, 1, 2), None, rng)
        one.advance()
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for training in (one, other):
        stream = RandomStream(7)
        for _ in range(2):  # over the end of an epoch
            training.step(batch(3, 4), None, stream)
            training.advance()
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])


def test_generated_images_are_normalised_like_the_classifiers() -> None:
    training = made(mean=[0.1, 0.2, 0.3], std=[0.5, 0.4, 0.2], noise="none")
    network = training.network.eval()
    codes = F.normalize(torch.randn(2, 16), dim=1)
    raw, normalised = network.generate(codes, RandomStream(0)), network.decode(codes, RandomStream(0))
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.4), (0.3, 0.2)]):
        torch.testing.assert_close(normalised[:, channel], (raw[:, channel] - mean) / std)
    torch.testing.assert_close(network.denormalize(normalised), raw)


def larger(**settings: Any) -> tuple[GlicoGenerator, Batch]:
    """A training at 64 pixels, where the decoder has batch normalisations, and a batch of all images."""
    training = made(image_size=64, batch_size=COUNT, noise="none", perceptual=None, **settings)
    images = F.interpolate(smooth(COUNT), size=64, mode="bilinear")
    return training, Batch(images, torch.arange(COUNT) % 3, torch.arange(COUNT))


def test_evaluation_mode_makes_what_was_trained() -> None:
    training, data = larger(gamma=0)
    rng = RandomStream(0)
    for _ in range(3):
        training.step(data, None, rng)
        training.advance()
    network = training.network

    def difference() -> float:
        """Of what both modes decode, as a share of how much the images differ."""
        with torch.no_grad():
            trained, used = (network.train(mode).generate(network.codes, RandomStream(0)) for mode in (True, False))
        return float((used - trained).norm() / (trained - trained.mean(0)).norm())

    assert difference() > 1, "the averages of the training still hold what they began with"
    training.settle()
    assert difference() < 0.02
    shown = training.preview(data, data, RandomStream(0))["reconstructed"]
    with torch.no_grad():
        used = network.eval().decode(network.codes, RandomStream(0))
    assert torch.equal(shown, used)


def test_settling_changes_no_training() -> None:
    (one, data), (other, _) = larger(), larger()
    for training in (one, other):
        rng = RandomStream(0)
        for _ in range(2):
            training.step(data, None, rng)
            if training is one:
                training.settle()
            training.advance()
    for parameter, same in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(parameter, same)
    one.settle()
    other.settle()
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), "pictures on the way must not matter"


def test_pictures_go_from_an_image_to_its_partner() -> None:
    training = made()
    columns = training.preview(batch(0, 1), batch(3, 4), RandomStream(0))
    assert list(columns)[:2] == ["first", "reconstructed"]
    assert list(columns)[-1] == "partner"
    assert all(images.shape == (2, 3, 32, 32) for images in columns.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"gamma": -1},
        {"reconstruction_weight": 0},
        {"classifier_gradient": "some"},
        {"optimizer_state": "lost"},
        {"unlabelled": -1},
        {"classifier": "both"},
        {"initial_codes": "zero"},
        {"epochs": 0},
    ],
)
def test_bad_parameters_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        made(**settings)
