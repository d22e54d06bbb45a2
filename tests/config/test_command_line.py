"""Hydra's options and keys as its users know them: trees of one's own, dry runs, and what has no effect here."""

import dataclasses
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from chimeramix.config.compose import CONFIG_DIR, compose_settings, read_command_line, settings_of, tree_of
from chimeramix.config.sweep import read_sweep
from chimeramix.errors import UserError
from chimeramix.runs import build
from chimeramix.sweep.status import runs_of_command

ROOT = CONFIG_DIR.parent
DIGITS = "+dataset=demo/digits"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A configuration folder with a root file, an experiment and models of one's own."""
    files = {
        "small.yaml": "defaults: [base, _self_]\nbatch_size: 3\n",
        "experiment/mine.yaml": "# @package _global_\nepochs: 7\n",
        "experiment/other.yaml": "# @package _global_\nepochs: 8\n",
        "model/library.yaml": "_target_: torchvision.models.resnet50\nzero_init_residual: true\n",
        "dataset/mine.yaml": "# @package _global_\ndefaults: [/dataset/demo/digits]\n",
    }
    folder = tmp_path / "own options"
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(content)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """The exit status of `train_classifier.py`."""
    monkeypatch.setattr(sys, "argv", ["train_classifier.py", *words])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "train_classifier.py"), run_name="__main__")
    return stop.value.code


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_search_path_works_in_runs_and_sweeps(own: Path, scheme: str) -> None:
    path = f"hydra.searchpath=['{scheme}{own}']"
    single = settings_of(*tree_of("classifier", [DIGITS, "+experiment=mine", path]))
    assert single.config.epochs == 7
    sweep = read_sweep(*tree_of("classifier", [DIGITS, path, "+experiment=mine,other", "seed=0,1"]))
    assert [settings.config.epochs for settings in sweep.runs] == [7, 7, 8, 8]
    # What a resume command says leads to the same settings.
    again = settings_of(*tree_of("classifier", sweep.runs[-1].overrides))
    assert again == sweep.runs[-1]


def test_lists_see_a_search_path(own: Path) -> None:
    words = [DIGITS, f"hydra.searchpath=['{own}']", "+experiment=glob([mi*,o*])"]
    names = [settings.names["experiment"] for settings in read_sweep(*tree_of("classifier", words)).runs]
    assert names == ["miamix", "mine", "mixmatch", "mixup", "other"]


def test_a_package_can_be_searched() -> None:
    tree, _ = tree_of("classifier", ["hydra.searchpath=[pkg://hydra.conf]"])
    (folder,) = tree.search_path
    assert (folder / "hydra" / "help" / "default.yaml").exists()


@pytest.mark.parametrize("word", ["[/nope]", "/nope", "[pkg://no.such.package]"])
def test_a_search_path_that_is_not_there_is_told(word: str) -> None:
    with pytest.raises(UserError, match=r"hydra\.searchpath=.*(no folder|must be a list|no package)"):
        tree_of("classifier", [f"hydra.searchpath={word}"])


@pytest.mark.parametrize(
    "spelling", ["--config-dir={} --config-name=small", "--config-dir {} -cn small", "-cd {} -cn small"]
)
def test_a_root_file_of_ones_own_in_sweeps_and_status(own: Path, tmp_path: Path, spelling: str) -> None:
    options = [word.format(own) for word in spelling.split()]
    words = [DIGITS, "+experiment=mine", "seed=0,1", *options]
    read = read_command_line(words)
    sweep = read_sweep(*tree_of("classifier", read.overrides, read.config_dir, read.config_name))
    assert [settings.config.batch_size for settings in sweep.runs] == [3, 3]
    cells, commands = runs_of_command(tmp_path, ["train_classifier.py", *words, "--multirun"])
    assert len(cells) == 2
    for command in [cells[0].command, *commands.values()]:
        assert f"'--config-dir={own}' --config-name=small" in command


def test_a_librarys_keyword_arguments_pass(own: Path) -> None:
    """torchvision's functions take the number of classes and the network's options by `**kwargs`."""
    config = compose_settings("classifier", [DIGITS, "model=library", "+model.width_per_group=32"], str(own)).config
    model: Any = build.model(config, 7)
    assert model.fc.out_features == 7
    assert model.layer1[0].conv2.out_channels == 32
    assert not model.layer1[0].bn3.weight.any(), "zero_init_residual"
    wrong = compose_settings("classifier", [DIGITS, "model=library", "+model.widht=32"], str(own)).config
    with pytest.raises(UserError, match=r"model: .*unexpected keyword argument 'widht'"):
        build.model(wrong, 7)
    with pytest.raises(UserError, match=r"model\.num_classes is decided by the run"):
        compose_settings("classifier", [DIGITS, "model=library", "+model.num_classes=3"], str(own))


def test_a_dry_run_of_a_sweep_lists_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [DIGITS, "+experiment=baseline", "seed=0,1", "optimizer.lr=0.1,0.2", f"machine.runs_dir={tmp_path}/runs"]
    assert run(monkeypatch, *words, "--cfg", "job", "--multirun") == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["missing"] * 4
    assert [line.split()[1].rsplit("-", 1)[0] for line in lines] == [
        f"classifier/digits-n10-baseline-s{seed}" for seed in (0, 0, 1, 1)
    ]
    assert [line.split()[2] for line in lines] == ["optimizer.lr=0.1", "optimizer.lr=0.2"] * 2
    assert last == "4 runs: 4 missing"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("+hydra.sweeper.params.seed=0,1 --multirun", ["hydra.sweeper.params", "seed=0,1", "--multirun"]),
        ("hydra/sweeper=optuna --multirun", ["hydra/sweeper=optuna: has no effect", "lists", "chimeramix tune"]),
        ("optimizer.lr=interval(0.1,1) --multirun", ["interval(0.1,1): a sweep needs a list", "chimeramix tune"]),
        ("optimizer.lr=interval(0.1,1)", ["optimizer.lr=interval(0.1,1): several values", "chimeramix tune"]),
        ("hydra.foo=1", ["hydra.foo=1: has no effect here", "hydra.sweep.dir"]),
        ("+hydra.foo=1 --multirun", ["hydra.foo=1: has no effect here"]),
        ("hydra.launchr.partition=x", ["did you mean hydra.launcher"]),
        ("hydra.searchpath=[/nope]", ["hydra.searchpath=[/nope]: /nope is no folder"]),
        ("hydra.searchpath=[/nope] --cfg job", ["hydra.searchpath=[/nope]: /nope is no folder"]),
        ("hydra.run.dir=there", ["hydra.run.dir=there", "machine.runs_dir=FOLDER"]),
        ("hydra.sweep.subdir=there --multirun", ["machine.runs_dir=FOLDER"]),
        ("hydra.job.chdir=true", ["hydra.job.chdir=true", "machine.runs_dir=FOLDER"]),
        ("hydra.verbose=true", ["hydra.verbose=true", "train.log"]),
        ("--experimental-rerun x", ["--experimental-rerun is not for this command"]),
        ("--config-path x", ["--config-path is not for this command", "--config-dir"]),
        ("-sc foo", ["install", "query"]),
    ],
)
def test_what_has_no_effect_is_refused_in_one_line(
    words: str, parts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, DIGITS, *words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_help_shows_examples_that_work_and_keys_that_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "mixer: agmix, chimera" in text, "the groups are filled in"
    examples = [shlex.split(line)[2:] for line in text.splitlines() if line.startswith("  python train_classifier.py")]
    assert len(examples) == 4
    for words in examples:
        read = read_command_line(words)
        settings = compose_settings("classifier", [word for word in read.overrides if "(" not in word])
    section = text.split("== Keys")[1].split("Every key has its meaning")[0]
    listed = [line[2:28].split(", ") for line in section.splitlines() if line.startswith("  ")]
    values = {**dataclasses.asdict(settings.config), "generator": {"epochs": 0}}
    for key in (key.strip() for keys in listed for key in keys):
        value: Any = values
        for part in key.split("."):
            value = value[part] if key != "mixer.probability" else 0.5


def test_options_may_stand_between_settings() -> None:
    options = read_command_line([DIGITS, "--multirun", "seed=1,2", "--cfg", "job", "epochs=3"])
    assert options.overrides == [DIGITS, "seed=1,2", "epochs=3"]
    assert (options.multirun, options.cfg) == (True, "job")
