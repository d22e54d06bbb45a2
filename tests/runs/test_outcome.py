"""What a finished run's record calls its method."""

import pytest

from chimeramix.config.compose import compose_settings
from chimeramix.runs.outcome import method_of


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("+experiment=mixup", "MixUp"),
        ("+experiment=mixup mixer.alpha=0.2 model=resnet18 augment=trivialaugment", "MixUp"),
        ("+experiment=mixup loss=cosine", "MixUp (loss=cosine)"),
        ("+experiment=baseline mixer=cutmix loss=cosine", "Baseline (loss=cosine, mixer=cutmix)"),
        ("+experiment=chimeramix_grid mask=segments", "ChimeraMix+Grid (mask=segments)"),
        ("+experiment=baseline mixer=cutmix method=Mine", "Mine"),
        ("mixer=cutmix", "cutmix"),
    ],
)
def test_a_method_is_named_after_its_experiment_and_what_replaced_parts_of_it(words: str, expected: str) -> None:
    assert method_of(compose_settings("classifier", ["+dataset=cifair10", *words.split()])) == expected
