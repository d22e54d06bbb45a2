"""What all generators share: their recipe, what they ask of a run, and where configurations find them."""

import inspect
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from benchmarks.synthetic import parts_of
from chimeramix.generators import ChimeraGenerator, Generator, GlicoGenerator, SuperMixGenerator
from chimeramix.generators.normalisation import Normalisation
from chimeramix.machine import Machine
from chimeramix.training.generator import GeneratorTraining

GENERATORS = [ChimeraGenerator, GlicoGenerator, SuperMixGenerator]


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_has_the_recipe_in_its_own_signature(generator: type[Generator]) -> None:
    """The signature is the schema of the configuration file: `**kwargs` would accept any key."""
    recipe = [name for name in inspect.signature(Generator.__init__).parameters if name != "self"]
    own = inspect.signature(generator).parameters
    assert set(recipe) <= own.keys()
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values())


def test_what_the_generators_ask_of_a_run() -> None:
    asked = [(each.needs_partners, each.recordable) for each in GENERATORS]
    assert asked == [(True, True), (False, True), (False, False)]


def test_normalisation_and_back() -> None:
    normalisation = Normalisation([0.1, 0.2, 0.3], [0.5, 0.4, 0.2])
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    normalised = normalisation(images)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.4), (0.3, 0.2)]):
        torch.testing.assert_close(normalised[:, channel], (images[:, channel] - mean) / std)
    torch.testing.assert_close(normalisation.inverse(normalised), images)
    assert normalisation.state_dict() == {}, "mean and std come from the configuration, not from a file of weights"


def test_a_training_settles_its_generator_before_the_last_picture(tmp_path: Path) -> None:
    """What it settles is what a classifier gets, and what the picture shows."""
    words = ["+experiment=chimeramix_grid", "generator.features=4", "generator.discriminator.features=4"]
    words += ["generator.image_size=32", "generator.epochs=3", "monitor.pictures_every=0"]
    training = parts_of("generator", Machine(torch.device("cpu")), tmp_path, *words).training
    assert isinstance(training, GeneratorTraining)
    generator = Mock(wraps=training.generator)
    training.generator = generator
    training.end_epoch(2)
    assert not generator.method_calls
    training.end_epoch(3)
    assert [call[0] for call in generator.method_calls] == ["settle", "preview"]
