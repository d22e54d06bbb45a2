"""Which keys a run's identity depends on: what changes its numbers, and nothing else.

A key that the identity forgets makes a changed run "done already"; one that it counts in vain orphans finished runs.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from chimeramix.config.schema import Config
from chimeramix.runs.train import folders_of
from tests.composing import composed

# An experiment and options that read as many of the recipe's keys as can be.
WORDS = ["+dataset=cifair10", "+experiment=chimeramix_segmentation", "erase=cutout", "augment=autoaugment"]

# One value other than the default for every key of the configuration; of a group, for some of its keys.
BOTH = [  # the generator depends on it, and so does the classifier that uses this generator
    "dataset.name=other",
    "dataset.image_size=28",
    "dataset.mean=[0.4,0.5,0.5]",
    "dataset.std=[0.4,0.5,0.5]",
    "recipe.flip=0",
    "recipe.segment_scale=61",
    "recipe.generator.epochs=3",
    "recipe.generator.batch_size=3",
    "recipe.generator.epoch_labels_per_class=3",
    "recipe.generator.image_size=32",
    "max_labels_per_class=null",
    "max_labels_per_class=5",
    "seed=1",
    "split_seed=1",
    "mask=grid",
    "mask.select=one",
    "mask.images=3",
    "mask.assign=uniform",
    "mask.assign=dirichlet mask.concentration=2",
    "generator=chimera_official",
    "generator.optimizer.lr=0.1",
    "generator.schedule.factor=0.5",
    "generator.seed=1",
    "published=true",
    "validation.fold=1",
    "validation.fold=1 validation.folds=3",
    "validation.fold=1 validation.seed=1",
    "validation.extra=3",
    "split=gem",
    "split=gem validation.published=true",
]
CLASSIFIER = [
    "recipe.epochs=3",
    "recipe.batch_size=3",
    "recipe.lr=0.1",
    "recipe.weight_decay=0.1",
    "recipe.epoch_labels_per_class=3",
    "recipe.cutout_size=3",
    "recipe.autoaugment=imagenet",
    "recipe.nesterov=false",
    "recipe.median_of=3",
    "augment=random_resized_crop recipe.crop_scale=0.4",
    "epochs=3",
    "batch_size=3",
    "epoch_labels_per_class=3",
    "optimizer=adamw",
    "optimizer.momentum=0",
    "schedule._target_=chimeramix.training.schedules.Constant",
    "model=resnet18",
    "model.width=2",
    "augment=flip_crop",
    "augment.steps.flip_crop.padding=2",
    "erase=random_erasing",
    "erase.size=3",
    "mixer=direct",
    "mixer.probability=0.9",
    "mask.segment_size.classifier=16",
    "loss=cosine",
    "loss.label_smoothing=0.1",
    "procedure=mixmatch",
    "average=ema",
    "average=swa",
    "sharpness=0.05",
    "evaluation.views=flip",
    "evaluation.median_of=3",
]
NEITHER = [
    "method=mine",
    "machine.device=cpu",
    "machine.precision=bf16",
    "machine.compile=true",
    "machine.data_dir=there",
    "machine.runs_dir=there",
    "machine.threads=1",
    "machine.workers=1",
    "machine.mirror=there",
    "monitor.evaluate_every=1",
    "monitor.pictures_every=1",
    "monitor.checkpoint_seconds=1",
    "monitor.stop_after=1",
    "tuned=by_hand",
    "monitor.keep_checkpoint=false",
    "sweep.pack=2",
    "wandb.mode=offline",
    "wandb.project=mine",
    "wandb.entity=me",
    "wandb.group=ours",
    "wandb.tags=[a]",
    "rerun=true",
]


def identities(*words: str) -> tuple[str, str]:
    """The classifier's and its generator's."""
    classifier, generator = folders_of(composed("classifier", [*WORDS, *words]), {})
    assert generator is not None
    return classifier.identity, generator.identity


@pytest.fixture(scope="module")
def usual() -> tuple[str, str]:
    return identities()


def keys_of(schema: type, prefix: str = "") -> Iterator[str]:
    """Every key of a dataclass, sections entered; a group is one key."""
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(field.type):
            yield from keys_of(field.type, f"{prefix}{field.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + field.name


def test_every_key_is_spoken_of() -> None:
    """A new key belongs into one of the lists above."""
    spoken_of = [part.split("=")[0] for words in BOTH + CLASSIFIER + NEITHER for part in words.split()]
    missing = [key for key in keys_of(Config) if not any(f"{word}.".startswith(f"{key}.") for word in spoken_of)]
    assert not missing


@pytest.mark.parametrize("word", BOTH)
def test_generator_and_classifier_depend_on(word: str, usual: tuple[str, str]) -> None:
    classifier, generator = identities(*word.split())
    assert classifier != usual[0]
    assert generator != usual[1]


@pytest.mark.parametrize("word", CLASSIFIER)
def test_the_classifier_alone_depends_on(word: str, usual: tuple[str, str]) -> None:
    made = folders_of(composed("classifier", [*WORDS, *word.split()]), {})
    assert made[0].identity != usual[0]
    if made[1] is not None:  # another mixer may use no generator
        assert made[1].identity == usual[1]


def test_the_classifier_depends_on_the_crops() -> None:
    crops = ["augment=random_resized_crop", "augment=random_resized_crop recipe.crop_scale=0.4"]
    one, other = (identities(*words.split())[0] for words in crops)
    assert one != other


def test_no_run_depends_on_the_rest(usual: tuple[str, str]) -> None:
    assert identities(*NEITHER) == usual


def test_runs_depend_on_what_the_images_are(usual: tuple[str, str]) -> None:
    settings = composed("classifier", WORDS)
    other = [folder.identity for folder in folders_of(settings, {"fingerprint": "other images"}) if folder]
    assert set(other).isdisjoint(usual)


def test_runs_of_versions_that_did_not_count_the_content_are_found(tmp_path: Path) -> None:
    """The generator's alone, for a classifier that is new, and both; a run that counts it goes first."""
    settings = composed("classifier", [*WORDS, f"machine.runs_dir={tmp_path}"])
    former = {"fingerprint": "sizes"}
    facts = {**former, "content": "pixels"}
    new = folders_of(settings, facts)
    old = folders_of(settings, former)
    assert new[1] is not None
    assert old[1] is not None
    assert {folder.identity for folder in new if folder}.isdisjoint(folder.identity for folder in old if folder)
    old[1].path.mkdir(parents=True)
    classifier, generator = folders_of(settings, facts)
    assert generator is not None
    assert generator.path == old[1].path
    assert classifier.identity not in (new[0].identity, old[0].identity)
    old[0].path.mkdir(parents=True)
    assert folders_of(settings, facts)[0].path == old[0].path
    classifier.path.mkdir(parents=True)
    assert folders_of(settings, facts)[0].path == classifier.path


def test_a_classifier_that_mixes_by_itself_depends_on_no_generator() -> None:
    one, other = (
        folders_of(composed("classifier", ["+dataset=cifair10", "mixer=mixup", *words]), {})
        for words in ([], ["generator=chimera", "mask=grid"])
    )
    assert one[1] is other[1] is None
    assert one[0].identity == other[0].identity
