"""The configuration tree: every documented command composes, to the papers' values."""

import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from chimeramix.config.compose import CONFIG_DIR, Tree, compose_settings
from chimeramix.config.messages import options_of
from chimeramix.config.sweep import read_sweep
from chimeramix.errors import UserError
from chimeramix.runs import build
from chimeramix.runs.train import folders_of

ROOT = CONFIG_DIR.parent

README_COMMANDS = """
python train_generator.py +dataset=cifair10 +experiment=chimeramix_grid max_labels_per_class=5
python train_classifier.py +dataset=cifair10 +experiment=chimeramix_grid max_labels_per_class=5
python train_generator.py +dataset=cifair10 +experiment=chimeramix_segmentation max_labels_per_class=5
python train_classifier.py +dataset=cifair10 +experiment=chimeramix_segmentation max_labels_per_class=5
python train_generator.py +dataset=cifair100 +experiment=chimeramix_grid max_labels_per_class=5
python train_classifier.py +dataset=cifair100 +experiment=chimeramix_grid max_labels_per_class=5
python train_generator.py +dataset=cifair100 +experiment=chimeramix_segmentation max_labels_per_class=5
python train_classifier.py +dataset=cifair100 +experiment=chimeramix_segmentation max_labels_per_class=5
python train_generator.py +dataset=stl10 +experiment=chimeramix_grid max_labels_per_class=5
python train_classifier.py +dataset=stl10 +experiment=chimeramix_grid max_labels_per_class=5
python train_generator.py +dataset=stl10 +experiment=chimeramix_segmentation max_labels_per_class=5
python train_classifier.py +dataset=stl10 +experiment=chimeramix_segmentation max_labels_per_class=5
""".strip().splitlines()

# Nothing is trained on corrupted images.
DATASETS = [name for name in options_of("dataset", [CONFIG_DIR]) if not name.startswith("corrupted/")]
EXPERIMENTS = options_of("experiment", [CONFIG_DIR])
ROLES = ("generator", "classifier")


def parse(command):
    """Role and arguments of a `python train_ROLE.py ...` line."""
    python, script, *words = shlex.split(command)
    assert python == "python"
    return script.removeprefix("train_").removesuffix(".py"), words


@pytest.mark.parametrize("command", README_COMMANDS)
def test_readme_commands_compose(command):
    role, words = parse(command)
    settings = compose_settings(role, words)
    assert settings.role == role
    assert settings.names["dataset"] == settings.config.dataset["name"] == words[0].split("=")[1]
    assert settings.names["experiment"] == words[1].split("=")[1]
    assert settings.config.max_labels_per_class == 5
    assert settings.config.seed == settings.config.split_seed == 0


# One data set has all experiments, each other one those whose parts differ most: parts know of a data set what their
# recipe and image size say. Both commands have one tree.
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_dataset_composes_with_experiments(dataset):
    all_of_them = dataset == "own/image_folder"
    for experiment in EXPERIMENTS if all_of_them else ["baseline", "chimeramix_segmentation", "glico", "mixmatch"]:
        settings = compose_settings("classifier", [f"+dataset={dataset}", f"+experiment={experiment}"])
        assert settings.names["experiment"] == experiment
        assert settings.config.dataset["name"] == dataset.rsplit("/", 1)[-1]
        assert settings.config.method, f"{experiment} names no method"


@pytest.mark.parametrize(
    "group",
    [
        *("augment", "average", "generator", "loss", "mask", "mixer", "model", "erase", "optimizer", "procedure"),
        *("recipe", "schedule"),
    ],
)
def test_every_option_composes(group):
    parts = ["+dataset=cifair10", "+experiment=chimeramix_grid"]
    for option in options_of(group, [CONFIG_DIR]):
        assert compose_settings("classifier", [*parts, f"{group}={option}"]).names[group] == option


def test_both_commands_have_one_tree():
    words = ["+dataset=stl10", "+experiment=chimeramix_segmentation", "seed=3"]
    assert compose_settings("generator", words).config == compose_settings("classifier", words).config


def leaf(values, path):
    for key in path.split("."):
        values = values[key]
    return values


# ChimeraMix, section 4.1 and appendix C.
CIFAIR = {
    "epochs": 200,
    "batch_size": 10,
    "optimizer.lr": 0.0046,
    "optimizer.weight_decay": 0.0053,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "epoch_labels_per_class": 500,
    "dataset.image_size": 32,
    "model.depth": 16,
    "model.width": 8,
    "augment.flip": 0.5,
    "mixer.probability": 0.5,
    "generator.epochs": 200,
    "generator.batch_size": 64,
    "generator.epoch_labels_per_class": 500,
    "generator.image_size": 64,
    "generator.optimizer.lr": 0.0002,
    "generator.optimizer.betas": [0.5, 0.999],
    "generator.schedule.milestones": [0.3, 0.6, 0.8],
    "generator.features": 64,
    "generator.reconstruction_weight": 1000,
}
STL10 = CIFAIR | {
    "batch_size": 16,
    "optimizer.lr": 0.0074,
    "optimizer.weight_decay": 0.00041,
    "epoch_labels_per_class": 120,
    "dataset.image_size": 96,
    "model.name": "resnet50",
    "model.stem": "imagenet",
    "generator.batch_size": 8,
    "generator.epoch_labels_per_class": 30,
    "generator.image_size": 96,
}
del STL10["model.depth"], STL10["model.width"]


@pytest.mark.parametrize(
    ("dataset", "experiment", "expected"),
    [
        ("cifair10", "chimeramix_grid", CIFAIR | {"mask.mix_size": 4}),
        ("cifair100", "chimeramix_grid", CIFAIR | {"mask.mix_size": 4}),
        ("cifair10", "chimeramix_segmentation", CIFAIR | {"mask.scale": 60, "mask.sigma": 0.8}),
        ("cifair100", "chimeramix_segmentation", CIFAIR | {"mask.scale": 60, "mask.sigma": 0.8}),
        ("stl10", "chimeramix_grid", STL10 | {"mask.mix_size": 4}),
        ("stl10", "chimeramix_segmentation", STL10 | {"mask.scale": 400, "mask.sigma": 0.8}),
    ],
)
def test_papers_values_arrive(dataset, experiment, expected):
    for role in ROLES:
        values = asdict(compose_settings(role, [f"+dataset={dataset}", f"+experiment={experiment}"]).config)
        assert {path: leaf(values, path) for path in expected} == expected
        assert values["generator"]["mask"] == values["mixer"]["mask"] == values["mask"]


def test_baseline_mixes_nothing():
    config = compose_settings("classifier", ["+dataset=cifair10", "+experiment=baseline"]).config
    assert config.mixer["_target_"] == "chimeramix.mixing.Identity"
    assert config.generator is config.mask is None


def test_dataset_size_moves_the_generators():
    words = ["+dataset=stl10", "+experiment=chimeramix_grid", "dataset.image_size=48"]
    assert compose_settings("generator", words).config.generator["image_size"] == 64


def test_a_generator_may_have_another_optimizer():
    """As it is told where `optimizer=adamw` is typed."""
    words = ["+dataset=cifair10", "+experiment=chimeramix_grid", "+optimizer@generator.optimizer=adamw"]
    for role in ROLES:
        config = compose_settings(role, words).config
        assert config.generator["optimizer"]["_target_"] == "torch.optim.AdamW"
        assert config.generator["optimizer"]["betas"] == [0.5, 0.999]
        assert config.optimizer["_target_"] == "torch.optim.SGD"


def test_mask_of_each_stage_has_its_own_segment_size():
    words = ["+dataset=cifair10", "+experiment=chimeramix_segmentation"]
    words += ["mask.segment_size={generator:48,classifier:24}"]
    config = compose_settings("classifier", words).config
    assert config.generator["mask"]["segment_size"] == 48
    assert config.mixer["mask"]["segment_size"] == config.mask["segment_size"] == 24


def test_a_folder_of_further_options(tmp_path):
    """What `--config-dir` adds is found, and suggested."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [baseline]\nepochs: 7\n")
    words = ["+dataset=cifair10", "+experiment=mine"]
    assert compose_settings("classifier", words, str(tmp_path)).config.epochs == 7
    with pytest.raises(UserError, match=r"experiment=mime: .*; did you mean mine\?"):
        compose_settings("classifier", ["+dataset=cifair10", "+experiment=mime"], str(tmp_path))
    with pytest.raises(UserError, match="absent: no such folder"):
        compose_settings("classifier", words, str(Path(tmp_path, "absent")))


@pytest.mark.parametrize(
    ("dataset", "recipe", "cutout"),
    [
        ("cifair10", "cifar", 16),
        ("cifair100", "cifar", 8),
        ("stl10", "stl10", 24),
        ("more/cifar10", "cifar", 16),
        ("more/cifar100", "cifar", 8),
        ("more/cub200", "cub200", 56),
        ("more/tiny_imagenet", "miamix", 16),
        ("demo/digits", "digits", 8),
        ("own/image_folder", "cifar", 16),
    ],
)
def test_each_dataset_has_its_recipe(dataset, recipe, cutout):
    settings = compose_settings("classifier", [f"+dataset={dataset}", "erase=cutout"])
    assert settings.names["recipe"] == recipe
    assert settings.config.erase["size"] == cutout


def test_a_recipe_can_be_chosen_and_changed():
    config = compose_settings("classifier", ["+dataset=own/image_folder", "recipe=stl10", "recipe.lr=0.1"]).config
    assert (config.batch_size, config.optimizer["lr"]) == (16, 0.1)


def test_own_data_set_recipe_and_schedule_beside_the_shipped_ones(tmp_path):
    """A data set's file may leave out the recipe, or set some of its keys; the others are ciFAIR's."""
    files = {
        "dataset/plain.yaml": "# @package _global_\ndefaults: [/dataset/cifair10]\ndataset: {name: plain}\n",
        "dataset/some.yaml": "# @package _global_\ndefaults: [/dataset/cifair10]\nrecipe: {epochs: 7}\n",
        "recipe/mine.yaml": "defaults: [cifar, _self_]\nlr: 0.3\n",
        "schedule/mine.yaml": "_target_: chimeramix.training.MultiStep\nmilestones: [0.5]\nfactor: 0.1\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    def config(*words):
        return compose_settings("classifier", list(words), str(tmp_path)).config

    assert config("+dataset=plain").epochs == 200
    some = config("+dataset=some", "recipe=mine", "schedule=mine")
    assert (some.epochs, some.batch_size, some.optimizer["lr"]) == (7, 10, 0.3)
    assert some.schedule == {"_target_": "chimeramix.training.MultiStep", "milestones": [0.5], "factor": 0.1}


@pytest.mark.parametrize("role", ["generator", "classifier"])
@pytest.mark.parametrize("experiment", ["chimeramix_grid", "glico", "supermix"])
def test_the_generator_has_a_schedule_of_its_own(role, experiment):
    words = ["+dataset=cifair10", f"+experiment={experiment}", "schedule@generator.schedule=constant"]
    config = compose_settings(role, words).config
    assert config.generator["schedule"] == {"_target_": "chimeramix.training.Constant"}
    if role == "classifier":
        assert config.schedule == {"_target_": "chimeramix.training.Cosine"}


def test_a_warm_up_goes_around_any_schedule():
    words = ["+dataset=cifair10", "schedule=warm_up", "schedule.share=0.1"]
    schedule = build.part(compose_settings("classifier", words).config, "schedule")
    assert [schedule(share) for share in (0, 0.1, 0.55, 1)] == pytest.approx([0.01, 1, 0.5, 0])
    words += ["schedule@schedule.schedule=multistep"]
    schedule = build.part(compose_settings("classifier", words).config, "schedule")
    assert [schedule(share) for share in (0, 0.1, 0.55, 1)] == pytest.approx([0.01, 1, 0.2, 0.008])


# What `published=true` changes; beside it machine.precision, which is no part of an identity.
PUBLISHED = {
    ("cifair10", "chimeramix_grid"): ["generator=chimera_official", "mixer.resize=official"],
    ("stl10", "chimeramix_segmentation"): ["generator=chimera_official", "mixer.resize=official"],
    ("cifair100", "chimeramix_grid_direct"): ["mixer.direct_size=64"],
    ("cifair10", "glico"): [
        "generator.latent_dim=512",
        "generator.classifier_gradient=full",
        "generator.optimizer_state=cleared",
        "mixer.per=batch",
        "mixer.include_self=true",
    ],
    ("cifair10", "fmix"): ["mixer.per=batch"],
    ("cifair10", "saliencymix"): ["mixer.per=batch"],
    ("cifair10", "baseline"): [],
}


@pytest.mark.parametrize(("chosen", "keys"), PUBLISHED.items(), ids=lambda value: "-".join(value)[:40])
def test_published_is_the_same_run_as_its_keys(chosen, keys):
    words = [f"+dataset={chosen[0]}", f"+experiment={chosen[1]}"]
    preset = compose_settings("classifier", [*words, "published=true"])
    single = compose_settings("classifier", [*words, *keys, "machine.precision=fp16"])
    assert [folder and folder.identity for folder in folders_of(preset, {})] == [
        folder and folder.identity for folder in folders_of(single, {})
    ]
    assert preset.config.machine == single.config.machine


def test_single_keys_go_before_published_in_sweeps_too():
    words = ["+dataset=cifair10", "+experiment=chimeramix_grid,cutmix,glico", "published=true,false"]
    runs = read_sweep(Tree("classifier"), [*words, "machine.precision=bf16", "mixer.probability=0.7"]).runs
    assert [run.config.machine.precision for run in runs] == ["bf16"] * 6
    assert [run.config.mixer.get("resize") for run in runs] == ["official", "matched", None, None, None, None]
    assert [run.config.mixer.get("per") for run in runs[4:]] == ["batch", "sample"]


def test_the_page_of_deviations_names_keys_and_values_that_exist():
    """The first table, row by row: the default composes to what it says, and `published=true` to the other side."""
    page = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    table = page.split("## What `published=true` changes")[1].split("##")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "| `" in line]
    assert len(rows) == 11
    experiments = {"ChimeraMix": "chimeramix_grid", "pixel-space ablations": "chimeramix_grid_direct", "GLICO": "glico"}
    for name, key, *sides, _ in rows:
        experiment = experiments.get(name, "fmix")
        for side, word in zip(sides, ("published=false", "published=true"), strict=True):
            words = ["+dataset=cifair10", f"+experiment={experiment}", word]
            value = leaf(asdict(compose_settings("classifier", words).config), key.strip("`"))
            shown = "null" if value is None else str(value).lower()
            assert shown in side, f"{name}: {key}={shown}, the page says {side}"
