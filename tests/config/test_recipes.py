"""Recipes of papers: what they come to, on the data sets that they are for."""

from typing import Any

import pytest
import torch

from chimeramix.config.schema import Config
from chimeramix.data.loader import EpochLoader
from chimeramix.data.subset import draw_subset, epoch_repeats
from chimeramix.data.views import Normalize, Views
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from chimeramix.types import Subset
from tests.composing import composed


def config_of(*words: str) -> Config:
    return composed("classifier", words).config


def steps_of(config: Config, class_sizes: list[int]) -> int:
    """Of a whole training, by the loader that runs use."""
    labels = torch.arange(len(class_sizes)).repeat_interleave(torch.tensor(class_sizes))
    names = [str(number) for number in range(len(class_sizes))]
    drawn = draw_subset(labels, config.max_labels_per_class, 0, names)
    labels = labels[drawn]
    subset = Subset(torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels, len(class_sizes))
    rng = RandomStream(0)
    views = Views(subset, lambda *both: both[:2], Normalize([0.5] * 3, [0.5] * 3, torch.device("cpu")), rng)
    repeats = epoch_repeats(config.epoch_labels_per_class, int(labels.bincount().min()))
    return config.epochs * len(EpochLoader(views, config.batch_size, repeats, rng))


def sgd(config: Config) -> dict[str, Any]:
    keys = ("lr", "momentum", "weight_decay", "nesterov")
    return {key: config.optimizer[key] for key in keys}


@pytest.mark.parametrize(
    ("dataset", "class_sizes"),
    [
        ("more/cifar10", [5000] * 10),
        ("more/cifar100", [500] * 100),
        ("more/tiny_imagenet", [500] * 200),
    ],
)
@pytest.mark.parametrize(("recipe", "batch_size"), [("miamix", 128), ("openmixup", 100)])
def test_an_epoch_of_a_full_training_set_is_one_pass(
    dataset: str, class_sizes: list[int], recipe: str, batch_size: int
) -> None:
    config = config_of(f"+dataset={dataset}", "max_labels_per_class=null", f"recipe={recipe}")
    assert config.batch_size == batch_size
    assert steps_of(config, class_sizes) == 400 * -(-sum(class_sizes) // batch_size)


def test_miamix_as_its_text_has_it() -> None:
    words = ["+dataset=more/cifar100", "max_labels_per_class=null", "model=resnet18", "+experiment=miamix"]
    config = config_of(*words, "recipe=miamix")
    assert sgd(config) == {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005, "nesterov": False}
    assert config.schedule["_target_"].endswith("Cosine")
    assert config.evaluation.median_of is None
    assert config.mixer["_target_"].endswith("MiAMix")
    assert sum(parameter.numel() for parameter in build.model(config, 100).parameters()) == 11_220_132


def test_openmixup_on_cifar() -> None:
    words = ["+dataset=more/cifar100", "max_labels_per_class=null", "recipe=openmixup", "model=resnext50"]
    config = config_of(*words, "+experiment=cutmix", "mixer.alpha=0.2", "recipe.weight_decay=0.0005")
    assert sgd(config) == {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005, "nesterov": False}
    assert config_of(*words).optimizer["weight_decay"] == 0.0001
    assert config.evaluation.median_of == 10
    assert config.mixer["alpha"] == 0.2
    augment = build.part(config, "augment")
    images, _ = augment(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), None, RandomStream(0))
    assert images.shape == (1, 3, 32, 32)
    assert augment.padding is None  # an eighth of the side: 4


def test_openmixup_on_tiny_imagenet() -> None:
    words = ["+dataset=more/tiny_imagenet", "max_labels_per_class=null", "recipe=openmixup_tiny_imagenet"]
    config = config_of(*words, "augment=random_resized_crop", "augment.interpolation=bicubic")
    assert sgd(config) == {"lr": 0.2, "momentum": 0.9, "weight_decay": 0.0001, "nesterov": False}
    assert (config.epochs, config.batch_size, config.evaluation.median_of) == (400, 100, 10)
    crop = build.part(config, "augment")
    assert (crop.size, tuple(crop.scale), crop.interpolation, crop.flip) == (64, (0.08, 1.0), "bicubic", 0.5)


def test_cub_is_trained_from_scratch_on_crops_of_whole_images() -> None:
    config = config_of("+dataset=more/cub200", "max_labels_per_class=5")
    crop = build.part(config, "augment")
    assert (crop.size, tuple(crop.scale), crop.needs_whole) == (224, (0.4, 1.0), True)
    assert config.dataset["resize_to"] == 256
    assert (config.epochs, config.batch_size) == (200, 16)
    # 30 // 5 = 6 repetitions of 1,000 images
    assert steps_of(config, [30] * 194 + [29] * 6) == 200 * 375


def test_all_of_cub_is_one_pass() -> None:
    config = config_of("+dataset=more/cub200", "max_labels_per_class=null")
    assert steps_of(config, [30] * 194 + [29] * 6) == 200 * -(-5994 // 16)
