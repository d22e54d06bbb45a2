"""The small track: every method with one effort, and nothing of a method changed."""

import pytest

from chimeramix.config.compose import CONFIG_DIR
from chimeramix.config.messages import options_of
from chimeramix.config.schema import Config
from chimeramix.errors import UserError
from tests.composing import composed

METHODS = sorted(name.partition("/")[2] for name in options_of("experiment", [CONFIG_DIR]) if name.startswith("small/"))


def config_of(experiment: str, *more: str) -> Config:
    return composed("classifier", ["+dataset=cifair10", f"+experiment={experiment}", *more]).config


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_same_effort(method: str) -> None:
    config = config_of(f"small/{method}")
    assert (config.epochs, config.epoch_labels_per_class, config.batch_size) == (16, 500, 10)  # 8,000 steps
    assert (config.machine.precision, config.machine.threads) == ("bf16", 1)
    assert "best of 8" in (config.tuned or "")
    if method != "scattering":
        assert (config.model["depth"], config.model["width"]) == (16, 2)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "trivialaugment"])
def test_the_method_is_that_of_the_papers_recipe(method: str) -> None:
    small, full = config_of(f"small/{method}"), config_of(method)
    assert small.method == full.method
    for group in ("augment", "mixer", "loss", "erase", "mask", "procedure", "schedule"):
        assert getattr(small, group) == getattr(full, group), group


@pytest.mark.parametrize("method", ["chimeramix_grid", "chimeramix_segmentation"])
def test_generators_have_the_same_effort(method: str) -> None:
    config = composed("generator", ["+dataset=cifair10", f"+experiment=small/{method}"]).config
    assert config.generator is not None
    values = [config.generator[key] for key in ("epochs", "epoch_labels_per_class", "batch_size", "features")]
    assert (*values, config.generator["image_size"]) == (12, 500, 8, 32, 32)  # 7,500 steps


def test_glicos_generator_has_about_their_time() -> None:
    config = composed("generator", ["+dataset=cifair10", "+experiment=small/glico"]).config
    assert config.generator is not None
    values = [config.generator[key] for key in ("epochs", "epoch_labels_per_class", "batch_size")]
    assert values == [57, 500, 32]  # 8,949 steps
    assert config.generator["schedule"]["_target_"] == "chimeramix.training.Cosine"


def test_any_experiment_goes_on_the_track() -> None:
    words = ["+dataset=cifair10", "+track=small", "+experiment=saliencymix"]
    config = composed("classifier", words).config
    assert (config.epochs, config.model["width"], config.optimizer["lr"]) == (16, 2, 0.015)
    with pytest.raises(UserError, match=r"\+track must come before \+experiment"):
        composed("classifier", [words[0], words[2], words[1]])


def test_what_a_data_set_wants_of_its_images_stays() -> None:
    words = ["+dataset=demo/digits", "+experiment=small/cutout"]
    config = composed("classifier", words).config
    assert (config.augment["flip"], config.erase["size"]) == (0.0, 8)  # no mirrored digits
