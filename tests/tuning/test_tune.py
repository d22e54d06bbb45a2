"""`chimeramix tune` with real runs, of ten steps each."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chimeramix.cli import main
from chimeramix.config.compose import compose_settings
from chimeramix.runs.state import RunStatus, write_status
from chimeramix.runs.train import train
from chimeramix.tuning import runner
from chimeramix.tuning.options import Options
from chimeramix.tuning.rungs import Rung
from chimeramix.tuning.search import read_search

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "train_classifier.py",
    "+dataset=demo/digits",
    "dataset.image_size=16",
    "+experiment=baseline",
    "max_labels_per_class=4",
    "epochs=2",
    "batch_size=8",
    "epoch_labels_per_class=4",
    "model.width=1",
    "machine.device=cpu",
    "machine.workers=1",
    "optimizer.lr=tag(log,interval(0.001,0.1))",
    "augment=flip_crop,trivialaugment",
]
OPTIONS = ["--trials=4", "--folds=2", "--at-once=2"]


def tune(runs, *options, words=(), launcher="basic"):
    return main(["tune", *OPTIONS, *options, *TINY, f"hydra/launcher={launcher}", f"machine.runs_dir={runs}", *words])


def study_in(runs):
    (folder,) = (runs / "tuning").iterdir()
    content = json.loads((folder / "tuning.json").read_text())
    del content["command"]  # names the folder of runs
    return folder, content


def results_in(runs):
    found = [json.loads(path.read_text()) for path in (runs / "classifier").glob("*/result.json")]
    return {result["identity"]: result for result in found}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    assert tune(runs) == 0
    return runs


def test_a_study_from_start_to_end(undisturbed, capsys):
    assert tune(undisturbed) == 0  # again: nothing is left to do
    printed = capsys.readouterr()
    assert "4 of 4 trials done" in printed.err
    assert "epoch" not in printed.err
    folder, content = study_in(undisturbed)
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "best.png",
        "best.svg",
        "slices.png",
        "slices.svg",
        "study.journal",
        "tuning.json",
    ]
    # Each trial's score is the mean of what its runs' own records say, of the held-out images.
    results = results_in(undisturbed)
    assert len(results) == 8
    for trial in content["trials"]:
        records = [results[run["identity"]] for run in trial["runs"]]
        assert [record["held_out"] for record in records] == [f"fold {k} of 2 of the drawn subset" for k in (0, 1)]
        assert all(record["test"] is None for record in records)
        scores = [record["validation"]["accuracy"] for record in records]
        assert trial["score"] == pytest.approx(sum(scores) / 2)
        assert trial["std"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
        assert trial["steps"] == sum(record["steps"] for record in records) == 20
    best = max(content["trials"], key=lambda trial: (trial["score"], -trial["number"]))
    assert content["best"] == best["number"]
    assert content["space"]["augment"] == "augment=flip_crop,trivialaugment"
    assert content["held_out"] == "2 folds of the drawn images"
    # The table: best first. The command: trains it, on all images.
    rows = [line.split() for line in printed.out.splitlines() if re.match(r" +\d ", line)]
    assert rows[0][:3] == [str(best["number"]), str(best["values"]["optimizer.lr"]), best["values"]["augment"]]
    words = shlex.split(printed.out.splitlines()[-1])
    settings = compose_settings("classifier", words[2:])
    config = settings.config
    assert not config.validation.asked
    assert config.optimizer["lr"] == best["values"]["optimizer.lr"]
    assert settings.names["augment"] == best["values"]["augment"]
    assert config.tuned is not None
    assert config.tuned.startswith(f"study {content['identity']}: trial {best['number']} of 4")
    assert "4 samples per class" in config.tuned
    train(settings)
    (result,) = [each for each in results_in(undisturbed).values() if each["test"] is not None]
    assert result["tuned"] == config.tuned
    assert (result["num_train"], result["held_out"]) == (40, None)


def test_status_names_the_command_that_goes_on(undisturbed, tmp_path, capsys):
    capsys.readouterr()
    (plan,) = {json.loads(path.read_text())["command"] for path in (undisturbed / "sweeps").glob("*/sweep.json")}
    words = shlex.split(plan)
    assert words[:2] == ["chimeramix", "tune"]
    assert main(words[1:]) == 0
    assert "4 of 4 trials done" in capsys.readouterr().err


@pytest.mark.slow
def test_interrupted_it_ends_the_same(undisturbed, tmp_path):
    """Ctrl-C while the second generation trains; then the same command, with other launchers and a budget in two
    parts."""
    runs = tmp_path / "runs"
    assert tune(runs, "--trials=2", launcher="local", words=["sweep.pack=2"]) == 0
    _, half = study_in(runs)
    assert len(half["trials"]) == 2
    words = [*OPTIONS, *TINY, "hydra/launcher=basic", f"machine.runs_dir={runs}"]
    command = [sys.executable, "-m", "chimeramix", "tune", *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while len(list((runs / "classifier").iterdir())) < 6 and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1].startswith("interrupted")
    assert len(study_in(runs)[1]["trials"]) == 2
    assert tune(runs) == 0
    assert study_in(runs)[1] == study_in(undisturbed)[1]


def test_trials_stop_after_some_epochs_and_go_on(tmp_path, undisturbed, capsys):
    """--stop epochs: whoever reaches the end is the same run, to the bit, as in a study that stops nobody."""
    runs = tmp_path / "runs"
    assert tune(runs, "--stop=epochs", "--trials=2") == 0
    _, content = study_in(runs)
    assert sorted(trial["state"] for trial in content["trials"]) == ["complete", "stopped"]
    whole = results_in(undisturbed)
    for trial in content["trials"]:  # the first generation, which has the same values in both
        assert [step for step, _ in trial["rungs"]] == ([1, 2] if trial["state"] == "complete" else [1])
        for run in trial["runs"]:
            (folder,) = (runs / "classifier").glob(f"*{run['identity']}")
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            if trial["state"] == "complete":
                result = results_in(runs)[run["identity"]]
                assert result["weights_sha256"] == whole[run["identity"]]["weights_sha256"]
                assert run["steps"] == 10
            else:
                assert not (folder / "result.json").exists()
                assert (folder / "checkpoint.pt").exists()  # a longer look goes on from here
                assert run["steps"] == 5
                assert run["score"] == lines[-1]["validation"]["accuracy"]
    # No command that `chimeramix status` names would train them further.
    assert "To finish" not in capsys.readouterr().out
    assert main(["status", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert "stopped after epoch 1 (monitor.stop_after)" in " ".join(shown.split())
    assert "To finish" not in shown
    # Looked at to the end, in a study that stops nobody, they go on from there.
    assert tune(runs, "--trials=2") == 0
    results = results_in(runs)
    assert len(results) == 4
    assert all(result["weights_sha256"] == whole[key]["weights_sha256"] for key, result in results.items())
    assert {len(result["stretches"]) for result in results.values()} == {2}


def test_a_run_beyond_a_rung_goes_on_to_its_next_evaluation(tmp_path):
    """Begun by a study that stops nobody, and interrupted before its first evaluation."""
    words = [*TINY, "epochs=6", "monitor.evaluate_every=0", "hydra/launcher=basic", f"machine.runs_dir={tmp_path}"]
    search = read_search(words, Options(folds=2, stop="epochs"))
    values = {"optimizer.lr": 0.01, "augment": "flip_crop"}
    (begun,) = search.run.sweep(values, Rung(6, None, 1)).runs
    train(replace(begun, config=replace(begun.config, monitor=replace(begun.config.monitor, stop_after=2))))
    ((outcome,),) = search.run({0: values}, Rung(1, 1, 1, 1)).values()
    (metrics,) = tmp_path.glob("classifier/*/metrics.jsonl")
    evaluated = [json.loads(line).get("validation") for line in metrics.read_text().splitlines()]
    assert evaluated[:2] == [None, None]
    assert outcome.score == evaluated[2]["accuracy"]
    assert len(evaluated) == 3


def test_a_run_that_is_killed_twice_is_a_failed_trial(tmp_path, monkeypatch):
    """The kernel, for the memory that it takes: it would be killed for ever."""
    launched = []

    def kill(asked, runs, todo):
        launched.extend(todo)
        for run in todo:
            write_status(run.folder, RunStatus("interrupted", "", "killed by SIGKILL (out of memory?)", step=3))

    monkeypatch.setattr(runner, "launch", kill)
    search = read_search([*TINY, "hydra/launcher=basic", f"machine.runs_dir={tmp_path}"], Options(folds=2))
    ((outcome,),) = search.run({0: {"optimizer.lr": 0.01, "augment": "flip_crop"}}, Rung(1, None, 1)).values()
    assert (outcome.score, outcome.reason) == (None, "killed by SIGKILL (out of memory?)")
    assert len(launched) == 2


def test_trials_stop_after_a_fold(tmp_path):
    runs = tmp_path / "runs"
    assert tune(runs, "--stop=folds", "--trials=2") == 0
    _, content = study_in(runs)
    assert sorted((trial["state"], len(trial["runs"])) for trial in content["trials"]) == [
        ("complete", 2),
        ("stopped", 1),
    ]
    assert len(results_in(runs)) == 3
    stopped, complete = sorted(content["trials"], key=lambda trial: trial["state"], reverse=True)
    assert complete["rungs"][0][1] >= stopped["score"]  # on the first fold


def test_a_run_that_diverges_is_a_failed_trial(tmp_path, capsys):
    runs = tmp_path / "runs"
    own = [word for word in TINY if not word.startswith(("optimizer.lr", "augment"))]
    words = [*own, "optimizer.lr=choice(0.05,1e30)", "hydra/launcher=basic", f"machine.runs_dir={runs}"]
    assert main(["tune", "--trials=2", "--folds=2", "--at-once=2", *words]) == 0
    _, content = study_in(runs)
    failed = [trial for trial in content["trials"] if trial["state"] == "failed"]
    assert failed
    assert {trial["values"]["optimizer.lr"] for trial in failed} == {"1e+30"}
    assert all("no longer finite" in trial["reason"] for trial in failed)
    assert {trial["state"] for trial in content["trials"] if trial["values"]["optimizer.lr"] == "0.05"} == {"complete"}
    assert "failed" in capsys.readouterr().out
    assert main(["status", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert "a failed trial of a study" in " ".join(shown.split())
    assert "To finish" not in shown  # it would fail again


def test_a_trial_is_folds_times_repeats_times_seeds():
    words = [*TINY, "seed=3", "split_seed=7", "hydra/launcher=basic"]
    search = read_search(words, Options(folds=2, repeats=2, seeds=2))
    values = {"optimizer.lr": 0.01, "augment": "flip_crop"}
    configs = [settings.config for settings in search.run.sweep(values, Rung(2, None, 4)).runs]
    held_out = [(config.validation.seed, config.validation.fold, config.seed) for config in configs]
    assert held_out == [(repeat, fold, seed) for repeat in (0, 1) for fold in (0, 1) for seed in (3, 4)]
    assert {(config.validation.folds, config.split_seed, config.optimizer["lr"]) for config in configs} == {
        (2, 7, 0.01)
    }
    first = search.run.sweep(values, Rung(1, 1, 1, 1)).runs
    assert [each.config.validation.fold for each in first] == [0, 0]
    assert {(each.config.monitor.stop_after, each.config.monitor.evaluate_every) for each in first} == {(1, 1)}


def test_more_labels_than_allowed_are_named(tmp_path, capsys):
    """Held out from outside the drawn subset; the winner is for fewer images."""
    runs = tmp_path / "runs"
    words = [*TINY, "hydra/launcher=basic", f"machine.runs_dir={runs}", "epochs=1", "validation.extra=3"]
    options = ["--trials=1", "--at-once=1", "--metric=loss", "--for=max_labels_per_class=2"]
    assert main(["tune", *options, *words]) == 0
    _, content = study_in(runs)
    (trial,), (result,) = content["trials"], results_in(runs).values()
    assert trial["score"] == result["validation"]["loss"]
    assert result["held_out"] == "3 extra images per class, from outside the drawn subset"
    assert (content["held_out"], content["for"]) == ("validation.extra=3", ["max_labels_per_class=2"])
    config = compose_settings("classifier", shlex.split(capsys.readouterr().out.splitlines()[-1])[2:]).config
    assert (config.max_labels_per_class, config.validation.asked) == (2, False)
    assert config.tuned is not None
    assert config.tuned.endswith("validation.extra=3, 4 samples per class; for max_labels_per_class=2")


@pytest.mark.slow
def test_killed_twice_it_ends_the_same(undisturbed, tmp_path):
    """SIGKILL to the search and to the runs that it has started, at two places."""
    runs = tmp_path / "runs"
    words = [*OPTIONS, *TINY, "hydra/launcher=local", "sweep.pack=2", f"machine.runs_dir={runs}"]
    command = [sys.executable, "-m", "chimeramix", "tune", *words]
    for begun in (1, 5):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        limit = time.monotonic() + 180
        while len(list((runs / "classifier").glob("*"))) < begun and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(study_in(runs)[1]["trials"]) == 2
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert study_in(runs)[1] == study_in(undisturbed)[1]
