"""`recipe=stl10_wideresnet`: the training of WRN-16-8 on STL-10 that was published with the harmonic networks."""

import torch

from chimeramix.data.subset import epoch_repeats
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from tests.composing import composed

WORDS = ["+dataset=stl10", "+experiment=baseline", "recipe=stl10_wideresnet"]


def test_the_published_training_of_wide_resnets_on_stl10() -> None:
    words = [*WORDS, "model=harmonic_wideresnet_16_8_stl10", "split=stl10_folds", "max_labels_per_class=100"]
    config = composed("classifier", words).config
    assert config.model == {
        "_target_": "chimeramix.models.HarmonicWideResNet",
        "depth": 16,
        "width": 8,
        "dropout": 0.3,
        "stem_stride": 2,
        "levels": None,
    }
    assert config.optimizer["_target_"] == "torch.optim.SGD"
    expected = {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4}
    assert {key: config.optimizer[key] for key in expected} == expected
    assert config.batch_size == 32
    # 5,000 times through a fold of 1,000 images, 156 batches of 32 and one of 8 for each five times.
    repeats = epoch_repeats(config.epoch_labels_per_class, 100)
    assert config.epochs * repeats == 5000
    assert config.epochs * -(-repeats * 1000 // config.batch_size) == 157_000
    # 1,000 times through all 5,000 images.
    assert config.epochs * epoch_repeats(config.epoch_labels_per_class, 500) == 1000
    schedule = build.part(config, "schedule")
    rates = [round(schedule(time / 5000), 6) for time in (0, 1499, 1500, 1999, 2000, 2999, 3000, 3999, 4000, 4999)]
    assert rates == [1, 1, 0.2, 0.2, 0.04, 0.04, 0.008, 0.008, 0.0016, 0.0016]
    # A reflected border of 12 pixels: a picture whose rows count up shows how far it can move.
    image = torch.arange(96, dtype=torch.uint8)[None, None, :, None].expand(200, 3, 96, 96)
    moved, _ = build.part(config, "augment")(image, None, RandomStream(0))
    assert {int(row) for row in moved[:, 0, 48, 0]} == set(range(36, 61))


def test_that_recipe_leaves_the_choice_to_others() -> None:
    chosen = composed("classifier", [*WORDS, "schedule=cosine", "optimizer=adamw", "recipe.epochs=7"])
    assert chosen.config.epochs == 7
    assert chosen.config.schedule == {"_target_": "chimeramix.training.Cosine"}
    assert chosen.config.optimizer["_target_"] == "torch.optim.AdamW"
    words = ["+dataset=stl10", "+experiment=chimeramix_grid"]
    mixed = composed("classifier", [*words, "recipe=stl10_wideresnet"]).config
    paper = composed("classifier", words).config
    assert mixed.generator == paper.generator
    assert paper.model["name"] == "resnet50"
