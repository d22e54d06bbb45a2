"""What a sweep's command line expands to: the settings that single runs would have, and the launcher's resources."""

import itertools
import re
import shlex

import pytest

from chimeramix.config import sweep as config_sweep
from chimeramix.config.compose import CONFIG_DIR, Tree, compose_settings
from chimeramix.config.messages import options_of
from chimeramix.config.sweep import read_sweep
from chimeramix.errors import UserError

README_COMMAND = (
    'python train_{role}.py "+dataset=glob(*)" "+experiment=glob(*)" "max_labels_per_class=5,10,20,30,50,100" '
    '"seed=range(0,5)" "hydra.launcher.partition=gpu_short" --multirun'
)


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_the_papers_commands_expand_to_all_runs(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Composing all 1,800 runs takes half a minute; their product is what this test is about.
    monkeypatch.setattr(config_sweep.Composer, "settings", lambda self, job: job)
    _, script, *overrides, multirun = shlex.split(README_COMMAND.format(role=role))
    assert (script, multirun) == (f"train_{role}.py", "--multirun")
    sweep = read_sweep(Tree(role), overrides)

    datasets = [name for name in options_of("dataset", [CONFIG_DIR]) if "/" not in name]
    experiments = [name for name in options_of("experiment", [CONFIG_DIR]) if "/" not in name]
    assert datasets == ["cifair10", "cifair100", "stl10"]
    assert {"baseline", "chimeramix_grid", "chimeramix_segmentation"} <= set(experiments)
    expected = itertools.product(datasets, experiments, (5, 10, 20, 30, 50, 100), range(5))
    assert [tuple(job)[:4] for job in sweep.runs] == [
        (f"+dataset={dataset}", f"+experiment={experiment}", f"max_labels_per_class={count}", f"seed={seed}")
        for dataset, experiment, count, seed in expected
    ]
    assert sweep.launcher == "slurm"
    assert sweep.resources["partition"] == "gpu_short"
    assert sweep.resources["gpus_per_node"] == 1
    assert sweep.largest_batch == 1000  # Slurm's limit of an array, unless its administrator raised it
    assert sweep.folder.parts[:2] == ("runs", "sweeps")


def test_a_run_of_a_sweep_has_the_settings_of_a_single_run() -> None:
    """Though most of its composition is shared with others: values, chosen options and overrides alike."""
    words = [
        "+dataset=cifair10,demo/digits",
        "+experiment=baseline,chimeramix_segmentation,scattering",
        "optimizer.lr=0.1,0.2",
        "augment=flip_crop,trivialaugment",
        "max_labels_per_class=null",
        "wandb.tags=[a,b]",
        "seed=3",
    ]
    sweep = read_sweep(Tree("classifier"), words)
    assert len(sweep.runs) == 24
    for settings in sweep.runs:
        assert settings == compose_settings("classifier", settings.overrides)


def test_a_value_that_is_wrong_with_some_options_only_is_told() -> None:
    with pytest.raises(UserError, match=r"model\.width"):
        read_sweep(Tree("classifier"), ["+dataset=cifair10", "model=wideresnet_16_8,resnet18", "model.width=2"])


def test_an_empty_sweep_is_told() -> None:
    with pytest.raises(UserError, match="no jobs"):
        read_sweep(Tree("classifier"), ["+dataset=cifair10", "seed=range(3,3)"])


def test_a_glob_reads_the_folder_that_it_names() -> None:
    def experiments(glob: str) -> list[str]:
        words = ["+dataset=cifair10", f"+experiment={glob}"]
        return [settings.names["experiment"] for settings in read_sweep(Tree("classifier"), words).runs]

    assert experiments("glob(several/*)") == [
        "several/grid",
        "several/grid_direct",
        "several/segmentation",
        "several/segmentation_direct",
    ]
    assert experiments("glob([several/*,base*],exclude=*/*direct)") == [
        "baseline",
        "several/grid",
        "several/segmentation",
    ]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("+experiment=glob(sevral/*)", "none of these options of experiment is called sevral/*"),
        ("+experiment=glob([several/*,basline])", "none of these options of experiment is called basline"),
        ("+experiment=glob(several/*,exclude=*direct)", "none of these options of experiment is called *direct"),
        ("seed=glob(*)", "seed is no group of options"),
    ],
)
def test_a_pattern_that_names_nothing_is_told(word: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"{word}: {told}")):
        read_sweep(Tree("classifier"), ["+dataset=cifair10", word])
