"""`chimeramix status`: counts, what is unfinished and why, and the commands that finish the rest."""

import json
import shlex
from pathlib import Path

import pytest
from filelock import FileLock

from chimeramix.cli import main
from chimeramix.config.sweep import read_sweep
from chimeramix.config.tree import Tree
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.state import RunStatus, write_status
from chimeramix.runs.train import folders_of
from chimeramix.sweep import slurm
from chimeramix.sweep.plan import plan, write_plan
from tests.composing import composed
from tests.report.store import write_record
from tests.runs.tiny import CLASSIFIER, COMMON, GENERATOR

Output = pytest.CaptureFixture[str]

WORDS = [*COMMON, "+experiment=baseline", *CLASSIFIER]


def status(output: Output, runs: Path, *words: str) -> str:
    assert main(["status", str(runs), *words]) == 0
    return output.readouterr().out


def run_folder(runs: Path, seed: int) -> RunFolder:
    settings = composed("classifier", [*WORDS, f"seed={seed}", f"machine.runs_dir={runs}"])
    folder = folders_of(settings, {})[0]
    folder.path.mkdir(parents=True)
    return folder


def folder_of(runs: Path, seed: int) -> Path:
    return run_folder(runs, seed).path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four seeds: done, interrupted, failed, running."""
    done = run_folder(tmp_path, 0)
    write_record(done.path, done.spec)
    write_status(folder_of(tmp_path, 1), RunStatus("interrupted", "again 1", "stopped by signal 15", step=3, steps=10))
    write_status(folder_of(tmp_path, 2), RunStatus("failed", "again 2", "[Errno 28] No space left"))
    running = RunStatus("running", "again 3", step=4000, steps=10000, first_step=0, loss=1.25, accuracy=0.4321)
    folder = folder_of(tmp_path, 3)
    write_status(folder, running)
    written = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**written, "started": written["updated"] - 4000}))
    return tmp_path


def test_each_state_with_its_reason_and_command(runs: Path, capsys: Output) -> None:
    (running,) = (runs / "classifier").glob("*-s3-*")
    with FileLock(running / ".lock"):
        printed = status(capsys, runs)
    assert "classifiers: 1 done, 1 running, 1 interrupted, 1 failed" in printed
    lines = {line.split()[0].rsplit("-", 2)[-2]: line for line in printed.splitlines() if "classifier/" in line}
    assert "stopped by signal 15" in lines["s1"]
    assert "3 of 10" in lines["s1"]
    assert "[Errno 28] No space left" in lines["s2"]
    assert "4,000 of 10,000" in lines["s3"]
    assert "1.2500" in lines["s3"]
    assert "43.21 %" in lines["s3"]
    assert "1.7 h" in lines["s3"], "6,000 steps at one a second"
    assert printed.endswith("To finish the rest:\n  again 1\n  again 2\n")


def test_a_cell_of_the_table_counts_its_seeds(runs: Path, capsys: Output) -> None:
    printed = status(capsys, runs)
    (row,) = [line.split() for line in printed.splitlines() if line.split()[:1] == ["digits"]]
    assert row == ["digits", "baseline", "1/4"]


def test_missing_runs_of_a_sweep_given_by_its_command(runs: Path, capsys: Output) -> None:
    """The command as it is typed, or its words; the folder is the one asked about."""
    words = ["python", "train_classifier.py", *WORDS, "seed=range(0,6)", "--multirun"]
    printed = status(capsys, runs, *words)
    assert "classifiers: 1 done, 2 interrupted, 1 failed, 2 missing" in printed
    (command,) = [line.strip() for line in printed.split("To finish the rest:\n")[1].splitlines()]
    assert command.endswith("--multirun")
    assert f"machine.runs_dir='{runs}'" in shlex.split(command)
    assert "seed=range(0,6)" in shlex.split(command)


def test_a_recommended_command_repeats_nothing_finished(runs: Path, capsys: Output) -> None:
    printed = status(capsys, runs, "train_classifier.py", *WORDS, "rerun=True", "hydra.sweep.dir=there", "seed=1,9")
    assert "rerun" not in printed
    assert "hydra.sweep.dir" not in printed


def test_runs_of_a_recorded_sweep_that_never_began(runs: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs / "sweeps" / "evening"
    folder.mkdir(parents=True)
    columns = {"dataset": "digits", "experiment": "mixup", "max_labels_per_class": None, "seed": 0, "changes": ""}
    names = [f"digits-nall-mixup-s{seed}-{seed:012x}" for seed in range(3)]
    record = {
        "role": "classifier",
        "overrides": ["+dataset=demo/digits", "seed=range(0,3)", "rerun=true"],
        "cells": [
            {"folder": f"/elsewhere/classifier/{name}", "role": "classifier", "columns": columns, "command": "single"}
            for name in names
        ],
        "jobs": {"7_0": [f"{0:012x}"], "7_1": [f"{1:012x}"]},
    }
    (folder / "sweep.json").write_text(json.dumps(record))
    monkeypatch.setattr(slurm, "queue", lambda: {"7_0": "PENDING"})
    printed = status(capsys, runs)
    assert "1 done, 1 queued, 2 interrupted, 1 failed, 2 missing" in printed
    commands = printed.split("To finish the rest:\n")[1].splitlines()
    assert commands[0].strip().endswith("train_classifier.py +dataset=demo/digits 'seed=range(0,3)' --multirun")
    assert "single" not in printed


def test_a_generator_that_a_sweep_trains_on_the_way_has_no_command_of_its_own(tmp_path: Path, capsys: Output) -> None:
    """But it has where no run of the sweep waits for it."""
    words = [
        *COMMON,
        "+experiment=chimeramix_grid",
        *GENERATOR,
        *CLASSIFIER,
        "seed=0,1",
        f"machine.runs_dir={tmp_path}",
    ]
    asked = read_sweep(Tree("classifier"), words)
    (tmp_path / "sweeps" / "evening").mkdir(parents=True)
    write_plan(tmp_path / "sweeps" / "evening", asked, plan(asked).runs)
    for settings in asked.runs:
        generator = folders_of(settings, {})[1]
        assert generator is not None
        generator.path.mkdir(parents=True)
        write_status(generator.path, RunStatus("interrupted", f"generator {settings.config.seed}"))
    done = folders_of(asked.runs[0], {})[0]
    done.path.mkdir(parents=True)
    write_record(done.path, done.spec)
    sweeps, *single = status(capsys, tmp_path).split("To finish the rest:\n")[1].splitlines()
    assert sweeps.endswith("--multirun")
    assert single == ["  generator 0"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"role": "classifier"}'])
def test_a_damaged_record_of_a_sweep_is_named_and_left_out(
    runs: Path, capsys: Output, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (runs / "sweeps" / "evening").mkdir(parents=True)
    (runs / "sweeps" / "evening" / "sweep.json").write_text(content)
    assert "classifiers: 1 done, 2 interrupted, 1 failed" in status(capsys, runs)


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '{"state": 5, "command": "again"}', '{"state": "odd"}'])
def test_a_damaged_status_is_named_and_no_obstacle(runs: Path, capsys: Output, content: str) -> None:
    (folder,) = (runs / "classifier").glob("*-s1-*")
    (folder / "status.json").write_text(content)
    assert main(["status", str(runs)]) == 1
    printed = capsys.readouterr()
    assert "classifiers: 1 done, 2 interrupted, 1 failed" in printed.out
    assert printed.err == f"error: {folder}: status.json is damaged: how it ended is not known\n"


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", "5"])
def test_a_damaged_result_is_not_done_and_ends_with_1(runs: Path, capsys: Output, content: str) -> None:
    (folder,) = (runs / "classifier").glob("*-s0-*")
    (folder / "result.json").write_text(content)
    assert main(["status", str(runs)]) == 1
    printed = capsys.readouterr()
    assert "classifiers: 2 interrupted, 2 failed" in printed.out
    assert printed.err.startswith(f"error: {folder}: result.json is damaged (")
    assert main(["report", str(runs)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder}/result.json is damaged (")


def test_a_folder_with_an_odd_name(tmp_path: Path, capsys: Output) -> None:
    odd = tmp_path / "my, 'runs' (1)"
    odd.mkdir()
    printed = status(capsys, odd, "train_classifier.py", *WORDS)
    command = shlex.split(printed.split("To finish the rest:\n")[1])
    settings = composed("classifier", [word for word in command[2:] if word != "--multirun"])
    assert settings.config.machine.runs_dir == str(odd)


def test_a_slurm_that_does_not_answer_is_no_obstacle(
    runs: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> dict[str, str]:
        raise ConnectionError("Slurm's queue can't be read (timeout)")

    test_runs_of_a_recorded_sweep_that_never_began(runs, capsys, monkeypatch)
    monkeypatch.setattr(slurm, "queue", silent)
    printed = status(capsys, runs)
    assert "Slurm's queue can't be read (timeout)" in printed
    assert "3 missing" in printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweep.py", "seed=1"], "sweep.py: give the sweep's axes as its command"),
        (["python"], "no words: give the sweep's axes as its command"),
        (["train_classifier.py", "+dataset=demo/digit"], "demo/digits"),
        (["train_classifier.py", "+dataset=demo/digits", "seed=range(1,1)"], "no jobs"),
    ],
)
def test_what_is_no_command_is_refused(runs: Path, capsys: Output, words: list[str], expected: str) -> None:
    assert main(["status", str(runs), *words]) == 2
    assert expected in capsys.readouterr().err


def test_no_runs_at_all(tmp_path: Path, capsys: Output) -> None:
    assert main(["status", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["status", str(tmp_path)]) == 2
    assert "no run in this folder" in capsys.readouterr().err
