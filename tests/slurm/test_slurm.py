"""Both sweeps on a real Slurm, with everything that goes wrong in a night, against the same sweeps on this machine.

`make test-slurm` starts the cluster and runs this; without one it is skipped.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

import chimeramix
from tests.runs.tiny import assert_same_run

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")

pytestmark = pytest.mark.skipif("CHIMERAMIX_TEST_SLURM" not in os.environ, reason="needs a Slurm: make test-slurm")

WORDS = [
    "+dataset=demo/digits,tiny",
    "+experiment=baseline,tiny_grid",
    "max_labels_per_class=2,3",
    "seed=range(0,2)",
    "machine.device=cpu",
    "machine.threads=1",
    "machine.workers=1",
    "monitor.evaluate_every=0",
    "monitor.checkpoint_seconds=1",
]
CLASSIFIER = ["epochs=60", "batch_size=8", "epoch_labels_per_class=12", "model=wideresnet_10_2", "model.width=1"]
TINY_GRID = """# @package _global_
defaults: [chimeramix_grid, _self_]
generator:
  features: 4
  blocks: 2
  split: 1
  discriminator: {features: 4}
  epochs: 20
  batch_size: 8
  epoch_labels_per_class: 12
"""
LAUNCHER = [
    "hydra.launcher.partition=test",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1",
    "hydra.launcher.timeout_min=2",
    "hydra.launcher.signal_delay_s=30",
]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with options of our own: a second data set, of image files, and ChimeraMix with a tiny generator."""
    folder = tmp_path_factory.mktemp("options")
    stored = np.load(Path(chimeramix.__file__).parent / "data" / "digits.npz")
    for part, start in (("train", 0), ("test", 900)):
        for position in range(start, start + 60):
            path = folder / "images" / part / f"digit {stored['labels'][position]}" / f"{position}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((stored["images"][position] * 15).astype(np.uint8)).resize((32, 32)).save(path)
    text = (ROOT / "conf" / "dataset" / "own" / "image_folder.yaml").read_text()
    (folder / "dataset").mkdir()
    text = text.replace("root: null", f"root: {folder / 'images'}").replace("name: image_folder", "name: tiny")
    (folder / "dataset" / "tiny.yaml").write_text(text)
    (folder / "experiment").mkdir()
    (folder / "experiment" / "tiny_grid.yaml").write_text(TINY_GRID)
    return folder


def start(role: str, runs: Path, options: Path, *more: str) -> "subprocess.Popen[str]":
    """A sweep's command, at work."""
    own = CLASSIFIER if role == "classifier" else []
    chosen = [word for word in WORDS if word.split("=")[0] not in {each.split("=")[0] for each in more}]
    words = [*chosen, *own, f"machine.runs_dir={runs}", *more]
    words.sort(key=lambda word: not word.startswith("+dataset"))  # comes first
    command = [sys.executable, str(ROOT / f"train_{role}.py"), *words, "--multirun", f"--config-dir={options}"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    printed = process.communicate(timeout=1200)[1]
    print(printed)
    return process.returncode, printed


def until(found: Callable[[], T | None], what: str, seconds: float = 240) -> T:
    limit = time.monotonic() + seconds
    while (value := found()) is None:
        assert time.monotonic() < limit, f"waited too long for {what}"
        time.sleep(0.1)
    return value


class Victims:
    """Picks runs in the middle of their training, each once."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self.taken: list[Path] = []

    def next(self, role: str) -> tuple[Path, str]:
        """A run's folder and the number of its Slurm job; a run with most of its training before it."""

        def look() -> tuple[Path, str] | None:
            for checkpoint in self._runs.glob(f"{role}/*/checkpoint.pt"):
                folder = checkpoint.parent
                try:
                    status = json.loads((folder / "status.json").read_text())
                    done = len((folder / "metrics.jsonl").read_text().splitlines())
                except FileNotFoundError:
                    continue
                early = done < (10 if role == "generator" else 30)
                if folder not in self.taken and status["state"] == "running" and early:
                    self.taken.append(folder)
                    return folder, status["where"].split()[2]
            return None

        return until(look, f"a {role} that trains")


def send(signal: str, job: str) -> None:
    # Not checked: for some seconds after a job's start it delivers the signal to our process, but says that it can't.
    subprocess.run(["scancel", f"--signal={signal}", job], check=False, stderr=subprocess.DEVNULL)


def went_on(folder: Path) -> bool:
    """Whether a run's log tells that it went on from a checkpoint, and not from one of step 0."""
    lines = (folder / "train.log").read_text().splitlines()
    return any("resumed after" in line and "resumed after 0 of" not in line for line in lines)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, options: Path) -> dict[str, Path]:
    """The folders, by name, of both sweeps done on this machine without an interruption."""
    runs = tmp_path_factory.mktemp("local")
    for role in ("generator", "classifier"):
        status, printed = end(start(role, runs, options, "hydra/launcher=local", "sweep.pack=2"))
        assert status == 0, printed
    return {path.name: path for path in runs.glob("*/*-n*")}


def test_both_sweeps_survive_a_night(tmp_path: Path, options: Path, expected: dict[str, Path]) -> None:
    assert len(expected) == 8 + 16
    runs = tmp_path / "runs"

    # A run that fails on purpose: its checkpoint is damaged.
    failing = runs / "classifier" / next(name for name in expected if "digits-n2-baseline-s1" in name)
    failing.mkdir(parents=True)
    (failing / "checkpoint.pt").write_text("damaged")

    # Both sweeps at once: a classifier that comes before its generator trains it.
    generators = start("generator", runs, options, *LAUNCHER)
    until(lambda: next((runs / "sweeps").glob("*/.submitit/*/*_submitted.pkl"), None), "the generators' submission")
    classifiers = start("classifier", runs, options, *LAUNCHER)
    victims = Victims(runs)
    preempted, job = victims.next("generator")
    send("USR2", job)  # the warning that Slurm gives before it preempts, and before a time limit
    late, job_of_late = victims.next("classifier")
    send("STOP", job_of_late)  # so slow a run that it reaches its time limit
    stopped = time.monotonic()
    killed, job = victims.next("classifier")
    send("KILL", job)
    requeued, job = victims.next("classifier")
    subprocess.run(["scontrol", "requeue", job], check=True)
    time.sleep(max(0, stopped + 100 - time.monotonic()))
    send("CONT", job_of_late)
    assert end(generators)[0] == 0
    status, printed = end(classifiers)
    assert status == 1
    assert "14 done, 1 interrupted, 1 failed of 16 runs" in printed
    assert re.search(rf"{killed}: interrupted: Slurm job \d+_\d+: (CANCELLED|FAILED|NODE_FAIL)\n", printed)
    assert f"{failing}: failed: " in printed
    assert "is damaged" in printed

    # The same commands again, once the cause is mended: what is missing, and nothing else.
    (failing / "checkpoint.pt").unlink()
    status, printed = end(start("classifier", runs, options, *LAUNCHER))
    assert status == 0
    assert "submitted 2 jobs as" in printed
    for role in ("generator", "classifier"):
        status, printed = end(start(role, runs, options, *LAUNCHER))
        assert status == 0
        assert "runs are done" in printed
        assert "submitted" not in printed

    found = {path.name: path for path in runs.glob("*/*-n*")}
    assert found.keys() == expected.keys()
    for name, folder in found.items():
        assert_same_run(folder, expected[name])
    for folder in (preempted, late, killed, requeued):
        assert went_on(folder), folder
    for command in ("status", "report"):
        subprocess.run([sys.executable, "-m", "chimeramix", command, str(runs)], check=True, cwd=ROOT)


def test_several_runs_share_a_job(tmp_path: Path, options: Path, expected: dict[str, Path]) -> None:
    """Packed runs end with the bits of unpacked ones, though their job is preempted."""
    words = ["+experiment=baseline", "+dataset=demo/digits"]
    runs = tmp_path / "runs"
    sweep = start("classifier", runs, options, *words, *LAUNCHER, "sweep.pack=4")
    victim, job = Victims(runs).next("classifier")
    send("USR2", job)
    status, printed = end(sweep)
    assert status == 0, printed
    assert "submitted 1 job as" in printed
    folders = list(runs.glob("classifier/*"))
    assert len(folders) == 4
    for folder in folders:
        assert_same_run(folder, expected[folder.name])
    assert went_on(victim)


def test_a_search_survives_a_kill(tmp_path: Path) -> None:
    """`chimeramix tune` is killed while its jobs train, and repeated: the same trials as on this machine."""
    words = ["train_classifier.py", "+dataset=demo/digits", "+experiment=baseline", "max_labels_per_class=4"]
    words += ["optimizer.lr=tag(log,interval(0.001,0.1))", "machine.device=cpu", "machine.threads=1"]
    words += ["machine.workers=1", *(word for word in CLASSIFIER if not word.startswith("epochs=")), "epochs=9"]
    options = ["--trials=4", "--at-once=2", "--folds=2", "--stop=epochs"]

    def search(runs: Path, *more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "chimeramix", "tune", *options, *words, f"machine.runs_dir={runs}", *more]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def trials(runs: Path) -> list[dict[str, object]]:
        (record,) = runs.glob("tuning/*/tuning.json")
        found: list[dict[str, object]] = json.loads(record.read_text())["trials"]
        return found

    status, printed = end(search(tmp_path / "here", "hydra/launcher=local", "sweep.pack=2"))
    assert status == 0, printed
    runs = tmp_path / "runs"
    killed = search(runs, *LAUNCHER, "sweep.pack=2")
    until(lambda: next(runs.glob("classifier/*/metrics.jsonl"), None), "a run that trains")
    killed.kill()
    killed.communicate()
    status, printed = end(search(runs, *LAUNCHER, "sweep.pack=2"))
    assert status == 0, printed
    assert trials(runs) == trials(tmp_path / "here")
    assert {trial["state"] for trial in trials(runs)} == {"complete", "stopped"}
