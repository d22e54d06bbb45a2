"""Floating-point operations of trainings: by hand, and against those of each step that was taken."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from chimeramix.runs.flops import classifier_flops, generator_flops
from chimeramix.training.automix import AutoMixTraining
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.generator import GeneratorTraining
from chimeramix.training.mixmatch import MixMatchTraining
from tests.composing import composed
from tests.runs.test_experiments import run, words


class OneLayer(nn.Module):
    """Logits of all pixels of 8 x 8 images."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


class Asks(OneLayer):
    """Reads a value, which there is none of on the meta device."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * float(images.mean())


def config_with(model: type[nn.Module]) -> Any:
    config = composed("classifier", words("classifier", "baseline", Path("unused"))).config
    return dataclasses.replace(config, model={"_target_": f"{__name__}.{model.__name__}"})


def test_by_hand() -> None:
    """192 products and sums for each of 10 logits, and as many for the gradient of the weights; none for that of the
    images."""
    forward = 2 * 192 * 10
    config = config_with(OneLayer)
    assert classifier_flops(config, 10, 8, images=30, steps=3) == 30 * 2 * forward
    assert classifier_flops(config, 10, 8, images=30, steps=3, passes=(3, 2)) == 30 * (3 * 2 + 2) * forward


class OneKernel(OneLayer):
    """Its weights are a product of 7 others for each, as a harmonic convolution's kernel is."""

    fixed: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.factors = nn.Parameter(torch.zeros(num_classes, 7))
        self.register_buffer("fixed", torch.zeros(7, 3 * 8 * 8))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ (self.factors @ self.fixed).t()


def test_what_a_step_does_once_by_hand() -> None:
    """The product, 2 x 7 for each of 1,920 weights, and its gradient: as often as there are steps, not images."""
    images, steps = 2 * (2 * 192 * 10), 2 * (2 * 7 * 1920)
    assert classifier_flops(config_with(OneKernel), 10, 8, images=30, steps=3) == 30 * images + 3 * steps


def test_a_model_that_needs_values_is_not_counted() -> None:
    assert classifier_flops(config_with(Asks), 10, 8, images=30, steps=3) is None


def counted(training: type[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets the operations of each step that a training takes from now on."""
    steps: list[int] = []
    step = training.step

    def count(self: Any, batch: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            losses = step(self, batch)
        steps.append(counter.get_total_flops())
        return losses

    monkeypatch.setattr(training, "step", count)
    return steps


@pytest.mark.parametrize(
    ("training", "chosen"),
    [
        (ClassifierTraining, ["mixup"]),
        (ClassifierTraining, ["baseline", "sharpness=0.05", "average=ema"]),
        (MixMatchTraining, ["mixmatch"]),
        (ClassifierTraining, ["baseline", "model=harmonic_wideresnet_10_2", "average=ema"]),
        (MixMatchTraining, ["mixmatch", "model=harmonic_wideresnet_10_2"]),
        (AutoMixTraining, ["automix"]),
        (AutoMixTraining, ["automix", "model=harmonic_wideresnet_10_2"]),
    ],
    ids=["plain", "sharpness-aware", "MixMatch", "harmonic", "harmonic, MixMatch", "AutoMix", "harmonic, AutoMix"],
)
def test_the_steps_of_a_classifier(
    training: type[Any], chosen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps as they were, the last, smaller batch of an epoch too."""
    steps = counted(training, monkeypatch)
    folder = run("classifier", chosen[0], tmp_path, "batch_size=7", *chosen[1:])
    assert json.loads((folder / "result.json").read_text())["flops"] == sum(steps) > 0
    assert len(set(steps)) == 2


@pytest.mark.parametrize("experiment", ["chimeramix_segmentation", "several/segmentation", "glico"])
def test_the_steps_of_a_generator(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted(GeneratorTraining, monkeypatch)
    folder = run("generator", experiment, tmp_path, "generator.batch_size=7")
    assert json.loads((folder / "result.json").read_text())["flops"] == sum(steps) > 0


def test_generators_whose_steps_differ_are_not_counted() -> None:
    """SuperMix stops a step when enough mixtures are done; GLICO treats images without labels otherwise."""
    for experiment, more in (("supermix", []), ("glico", ["generator.unlabelled=10"])):
        config = composed("generator", words("generator", experiment, Path("unused"), *more)).config
        assert generator_flops(config, 10, images=40) is None


def test_counting_draws_nothing() -> None:
    state = torch.get_rng_state()
    assert classifier_flops(config_with(OneLayer), 10, 8, images=1, steps=1)
    assert torch.equal(torch.get_rng_state(), state)
