"""Which settings name another generator: the same ones in both commands, and those that change what is trained."""

import pytest

from chimeramix.config.settings import Settings
from chimeramix.errors import UserError
from chimeramix.runs.spec import generator_spec, identity_of
from chimeramix.runs.train import folders_of
from tests.composing import composed

GRID = ("+dataset=cifair10", "+experiment=chimeramix_grid", "max_labels_per_class=5")
SEGMENTS = ("+dataset=cifair10", "+experiment=chimeramix_segmentation", "max_labels_per_class=5")


def generator_identity(role, *words, facts=None):
    return identity_of(generator_spec(composed(role, words).config, facts or {}))


def test_golden_identity():
    """Changes when a generator's defaults or the way of hashing do: then all trained generators are orphaned, which a
    change of defaults may want (raise `spec.FORMAT`, note it in the changelog) and a refactoring must not."""
    assert generator_identity("generator", *GRID) == "9c77e84ad23a"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("seed=3",),
        ("generator.epochs=20", "generator.optimizer.lr=0.001"),
        ("mask.mix_size=2",),
        ("max_labels_per_class=null",),
        ("generator=chimera_official",),
        ("machine.device=cpu", "generator.discriminator.features=8"),
    ],
    ids=" ".join,
)
def test_same_overrides_name_the_same_generator_in_both_commands(words):
    assert generator_identity("generator", *GRID, *words) == generator_identity("classifier", *GRID, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("model=resnet18",),
        ("model.dropout=0",),
        ("optimizer.lr=0.1",),
        ("epochs=3",),
        ("batch_size=7",),
        ("epoch_labels_per_class=9",),
        ("mixer.probability=0.9",),
        ("mixer.resize=official",),
        ("mixer=none",),
        ("augment.padding=2",),
        ("method=mine",),
        ("machine.workers=1", "machine.runs_dir=elsewhere", "machine.data_dir=there", "machine.compile=true"),
        ("machine.device=cpu", "machine.precision=fp16"),
        ("monitor.evaluate_every=1", "monitor.keep_checkpoint=false"),
        ("wandb.mode=offline", "wandb.tags=[a]"),
        ("rerun=true",),
        ("mask.segment_size.classifier=16",),
        ("generator.reconstruction_weight=1000.0",),
        ("generator.adversarial_weight=1.0",),
    ],
    ids=" ".join,
)
def test_generator_does_not_depend_on(words):
    assert generator_identity("classifier", *SEGMENTS, *words) == generator_identity("generator", *SEGMENTS)


def test_generator_depends_on():
    changes = [
        (),
        ("seed=1",),
        ("split_seed=1",),
        ("seed=1", "split_seed=0"),
        ("max_labels_per_class=10",),
        ("max_labels_per_class=null",),
        ("dataset.image_size=28",),
        ("generator.epochs=100",),
        ("generator.batch_size=32",),
        ("generator.image_size=32",),
        ("generator.blocks=6",),
        ("generator.split=1",),
        ("generator.features=32",),
        ("generator.fake=fresh",),
        ("generator.optimizer.lr=0.001",),
        ("generator.discriminator.stride=1",),
        ("generator.augment.flip=0",),
        ("generator.include_self=false",),
        ("mask.select=one",),
        ("mask.scale=61",),
        ("mask.segment_size.generator=32",),
    ]
    identities = [generator_identity("classifier", *SEGMENTS, *words) for words in changes]
    identities += [
        generator_identity("classifier", *GRID),
        generator_identity("classifier", "+dataset=cifair100", *SEGMENTS[1:]),
        generator_identity("classifier", *SEGMENTS, facts={"fingerprint": "other images"}),
    ]
    assert len(set(identities)) == len(identities)


def test_a_folders_place_is_not_what_it_holds():
    words = ("+dataset=own/image_folder", *GRID[1:])
    facts = {"fingerprint": "0"}
    here, there = (generator_identity("generator", *words, f"dataset.root={root}", facts=facts) for root in "ab")
    assert here == there
    assert here != generator_identity("generator", *words, "dataset.root=a", facts={"fingerprint": "1"})


def test_classifiers_of_several_seeds_share_a_generator():
    """`generator.seed` is the generator's whole seed: the one that plain commands with that seed train."""
    plain = composed("generator", [*GRID, "seed=7"])
    words = [*GRID, "split_seed=7", "generator.seed=7"]
    first, second = (composed("classifier", [*words, f"seed={seed}"]) for seed in (0, 1))
    assert folders_of(first, {})[1].path == folders_of(second, {})[1].path == folders_of(plain, {})[0].path
    assert folders_of(first, {})[0].identity != folders_of(second, {})[0].identity
    # The generator's own command, and a sweep's job that trains it on the way, from a file.
    again = composed("generator", [*words, "seed=1"])
    assert again.config == plain.config == Settings.from_json(second.to_json()).of_generator().config


@pytest.mark.parametrize("seed", ["-1", "0.5", "one", "null"])
def test_a_generators_seed_is_a_number(seed):
    with pytest.raises(UserError, match=f"generator.seed={seed}: must be a whole number"):
        composed("generator", [*GRID, f"generator.seed={seed}"])
