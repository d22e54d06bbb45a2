"""A training step of GLICO: what it lowers, what it moves, and what it leaves alone."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.generators import GlicoGenerator
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


@pytest.mark.parametrize("classifier", ["pixels", "latent"])
def test_the_classifier_pulls_codes_of_a_class_together(classifier: str) -> None:
    fast = partial(torch.optim.Adam, lr=0.02, betas=(0.5, 0.999))
    training = made(classifier=classifier, perceptual=None, gamma=1.0, noise="none", code_optimizer=fast)
    before, rng = closeness(training), RandomStream(0)
    for _ in range(30):
        training.step(batch(*range(COUNT)), None, rng)
    assert closeness(training) > before + 0.2


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


def test_a_restored_training_goes_on_to_the_same_bits() -> None:
    one, other = made(), made()
    rng = RandomStream(0)
    for _ in range(3):
        one.step(batch(0, 1, 2), None, rng)
        one.advance()
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for training in (one, other):
        stream = RandomStream(7)
        training.step(batch(3, 4), None, stream)
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


def test_pictures_go_from_an_image_to_its_partner() -> None:
    training = made()
    columns = training.preview(batch(0, 1), batch(3, 4), RandomStream(0))
    assert list(columns)[:2] == ["first", "reconstructed"]
    assert list(columns)[-1] == "partner"
    assert all(images.shape == (2, 3, 32, 32) for images in columns.values())


@pytest.mark.parametrize(
    "settings",
    [{"gamma": -1}, {"unlabelled": -1}, {"classifier": "both"}, {"initial_codes": "zero"}, {"epochs": 0}],
)
def test_bad_parameters_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        made(**settings)
