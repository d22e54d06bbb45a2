"""What a finished run's record calls its method."""

import json

import pytest

from chimeramix.config.settings import Settings
from chimeramix.runs.outcome import method_of
from tests.composing import composed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("+experiment=mixup", "MixUp"),
        ("+experiment=mixup mixer.alpha=0.2 model=resnet18 augment=trivialaugment", "MixUp"),
        ("+experiment=mixup loss=cosine", "MixUp (loss=cosine)"),
        ("+experiment=baseline mixer=cutmix loss=cosine", "Baseline (loss=cosine, mixer=cutmix)"),
        ("+experiment=baseline mask=grid", "Baseline"),
        ("+experiment=chimeramix_grid mask=segments", "ChimeraMix+Grid (mask=segments)"),
        ("+track=small +experiment=mixup mixer=cutmix", "MixUp (mixer=cutmix)"),
        ("+experiment=baseline loss=cross_entropy mixer=none", "Baseline"),
        ("+experiment=baseline erase=cutout", "Baseline"),
        ("+experiment=cutout erase=random_erasing", "Cutout (erase=random_erasing)"),
        ("+experiment=baseline mixer=cutmix method=Mine", "Mine"),
        ("mixer=cutmix", "cutmix"),
    ],
)
def test_a_method_is_named_after_its_experiment_and_what_replaced_parts_of_it(words: str, expected: str) -> None:
    settings = composed("classifier", ["+dataset=cifair10", *words.split()])
    assert method_of(settings) == expected
    assert method_of(Settings.from_json(json.loads(json.dumps(settings.to_json())))) == expected


def test_a_generator_is_named_after_what_it_is_trained_with() -> None:
    """Whichever classifier's overrides trained it on the way."""
    words = ["+dataset=cifair10", "+experiment=chimeramix_grid", "loss=cosine", "mask=segments"]
    assert method_of(composed("classifier", words).of_generator()) == "ChimeraMix+Grid (mask=segments)"
