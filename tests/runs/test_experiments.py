"""Every experiment trains end to end: its generator where it has one, then a classifier, two epochs each."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from chimeramix.config.compose import CONFIG_DIR
from chimeramix.config.messages import options_of
from chimeramix.errors import UserError
from chimeramix.files import read_json_lines
from chimeramix.runs.train import train
from chimeramix.training import loop
from chimeramix.training.checkpoint import save_checkpoint
from tests.composing import composed
from tests.runs.interrupt import Killed
from tests.runs.tiny import CLASSIFIER, COMMON, GENERATOR, assert_same_run, folder_of

# Those of the small track are the same methods by another recipe.
EXPERIMENTS = [name for name in options_of("experiment", [CONFIG_DIR]) if not name.startswith("small/")]
EVALUATED_ONCE = [*(word for word in CLASSIFIER if not word.startswith("monitor.")), "monitor.evaluate_every=0"]
NARROW = ["model=scattering_narrow", "model.channels=8", "dataset.image_size=16"]
SCATTERING = [*(word for word in EVALUATED_ONCE if not word.startswith("model.")), *NARROW]
# Its decoder makes no smaller images.
GLICO = [
    "dataset.image_size=32",
    "generator.epochs=2",
    "generator.batch_size=8",
    "generator.epoch_labels_per_class=4",
    "generator.noise_size=8",
]
SUPERMIX = [
    "generator.epochs=2",
    "generator.pool_epochs=1",
    "generator.batch_size=8",
    "generator.epoch_labels_per_class=4",
    "generator.teacher.width=1",
    "generator.tolerance=0.9",
    "generator.iterations=10",
]


@cache
def generator_words(experiment: str) -> list[str]:
    """What makes its generator small; nothing where it has none."""
    settings = composed("classifier", [*COMMON, f"+experiment={experiment}"])
    if settings.config.generator is None:
        return []
    return {"glico": GLICO, "supermix": SUPERMIX}.get(str(settings.names["generator"]), GENERATOR)


def words(role: str, experiment: str, runs: Path, *more: str) -> list[str]:
    generator = generator_words(experiment)
    classifier = SCATTERING if experiment == "scattering" else EVALUATED_ONCE
    own = classifier if role == "classifier" else []
    if experiment.startswith("several/"):  # groups of four images
        own = ["max_labels_per_class=4", *own]
    chosen = [*COMMON, f"+experiment={experiment}", *generator, *own, "monitor.pictures_every=0"]
    return [*chosen, f"machine.runs_dir={runs}", *more]


def run(role: str, experiment: str, runs: Path, *more: str) -> Path:
    train(composed(role, words(role, experiment, runs, *more)))
    return folder_of(role, runs)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_trains(experiment: str, tmp_path: Path) -> None:
    settings = composed("classifier", words("classifier", experiment, tmp_path))
    if settings.config.generator is not None:
        run("generator", experiment, tmp_path)
    folder = run("classifier", experiment, tmp_path)
    result = json.loads((folder / "result.json").read_text())
    assert result["method"] == settings.config.method
    assert result["num_test"] == 1000
    assert 0 <= result["test"]["accuracy"] <= 1  # two epochs of a few steps teach nothing yet
    assert (result["generator_identity"] is None) == (settings.config.generator is None)


@pytest.mark.parametrize(
    ("experiment", "more", "augment"),
    [
        ("miamix", ["augment=trivialaugment"], "trivialaugment"),
        ("chimeramix_segmentation_direct", ["augment=autoaugment", "erase=cutout"], "autoaugment + cutout"),
    ],
)
def test_policies_and_erasers_go_on_top(experiment: str, more: list[str], augment: str, tmp_path: Path) -> None:
    result = json.loads((run("classifier", experiment, tmp_path, *more) / "result.json").read_text())
    assert result["augment"] == augment


@pytest.mark.parametrize(
    "more",
    [
        ["generator.unlabelled=12"],
        ["generator.transductive=true", "generator.batch_size=300"],
        ["generator.classifier=latent", "generator.initial_codes=hypercube"],
        ["generator.gamma=0", "generator.noise=added", "generator.perceptual=null"],
    ],
    ids=["unlabelled", "transductive", "latent", "without"],
)
def test_glicos_variants_train(more: list[str], tmp_path: Path) -> None:
    folder = run("generator", "glico", tmp_path, *more)
    weights = folder / "generator.safetensors"
    assert weights.exists()
    run("classifier", "glico", tmp_path, *more, "mixer.interpolation=lerp", "mixer.per=batch")


def test_automix_and_its_block_learn(tmp_path: Path) -> None:
    """160 steps on five digits a class: most test images are recognised by either head, and the momentum network finds
    the labels in the block's mixtures better than at first."""
    words = ["max_labels_per_class=5", "dataset.image_size=16", "epochs=4", "epoch_labels_per_class=32"]
    folder = run("classifier", "automix", tmp_path, *words, "model.dropout=0", "procedure.momentum=0.9")
    first, *_, last = read_json_lines(folder / "metrics.jsonl")
    assert all(last["variants"][head]["accuracy"] > 0.5 for head in ("plain", "mixed_head"))
    assert last["block_loss"] < 0.95 * first["block_loss"]


def test_mixmatch_does_its_own_mixing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixer=none"):
        run("classifier", "mixmatch", tmp_path, "mixer=cutmix")
    assert not (tmp_path / "classifier").exists()


def test_mixmatch_averages_the_weights_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="procedure averages the weights itself: choose average=none"):
        run("classifier", "mixmatch", tmp_path, "average=ema")
    assert not (tmp_path / "classifier").exists()


def test_more_unlabelled_images_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"generator\.unlabelled=5000: only 777 training images"):
        run("generator", "glico", tmp_path, "generator.unlabelled=5000")
    assert not (tmp_path / "generator").exists()


@pytest.mark.parametrize(
    ("role", "experiment", "more"),
    [
        ("generator", "glico", ["generator.unlabelled=12"]),
        ("generator", "supermix", ["generator.epochs=1"]),
        ("classifier", "miamix", ["augment=trivialaugment", "erase=random_erasing"]),
        ("classifier", "cosine", ["loss=cosine_cross_entropy"]),
        ("classifier", "mixmatch", ["procedure.unlabelled=20", "procedure.ramp_images=50"]),
        ("classifier", "automix", ["procedure.momentum=0.5"]),
        ("classifier", "miamix", ["average=ema"]),
        ("classifier", "miamix", ["sharpness=0.1", "optimizer=adamw"]),
        ("classifier", "miamix", ["average=swa", "average.start=0.2", "average.interval=2"]),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(
    role: str, experiment: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = [*more, "monitor.checkpoint_seconds=0"]
    expected = run(role, experiment, tmp_path / "whole", *often)
    saves = 0

    def dying(path: Path, state: dict[str, object]) -> None:
        nonlocal saves
        save_checkpoint(path, state)
        saves += 1
        if saves == 7:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", dying)
        with pytest.raises(Killed):
            run(role, experiment, tmp_path / "parts", *often)
    torch.manual_seed(99)
    assert_same_run(run(role, experiment, tmp_path / "parts", *often), expected)
