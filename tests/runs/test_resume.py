"""An interrupted run goes on from its last checkpoint and ends with the bits of an uninterrupted one."""

import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from chimeramix.errors import Interrupted, RunFailure, UserError
from chimeramix.training import checkpoint, evaluation, loop
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.evaluation import Evaluation
from chimeramix.training.generator import GeneratorTraining
from tests.runs.interrupt import ROLES, Killed, kill_at_call, runs_with_generator
from tests.runs.tiny import assert_same_run, figures, folder_of, overrides, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("step", "every_step"), [(1, True), (5, True), (6, True), (6, False), (10, True)])
@pytest.mark.parametrize("role", ROLES)
def test_killed_in_a_step(
    role: str,
    step: int,
    every_step: bool,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = runs_with_generator(role, uninterrupted, tmp_path)
    seconds = f"monitor.checkpoint_seconds={0 if every_step else 1000}"
    training = GeneratorTraining if role == "generator" else ClassifierTraining
    with monkeypatch.context() as patch:
        kill_at_call(patch, training, "step", step)
        with pytest.raises(Killed):
            run(role, runs, seconds)
    assert (folder_of(role, runs) / "checkpoint.pt").exists() == (every_step and step > 1)
    assert_same_run(run(role, runs), uninterrupted[role])


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (loop.MetricsFile, "append", 1),  # evaluated, not yet recorded
        (loop.MetricsFile, "append", 2),
        (loop, "save_checkpoint", 4),
        (loop.EpochMeans, "clear", 2),  # an epoch is over, its line is written, no checkpoint knows of it
    ],
)
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("role", ROLES)
def test_killed_at_an_epochs_end(
    role: str,
    owner: Any,
    name: str,
    number: int,
    before: bool,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = runs_with_generator(role, uninterrupted, tmp_path)
    with monkeypatch.context() as patch:
        kill_at_call(patch, owner, name, number, before)
        with pytest.raises(Killed):
            run(role, runs, "monitor.checkpoint_seconds=0")
    assert_same_run(run(role, runs), uninterrupted[role])


@pytest.mark.parametrize("role", ROLES)
def test_killed_after_training_before_the_result(
    role: str, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chimeramix.runs import train as package_runs

    runs = runs_with_generator(role, uninterrupted, tmp_path)
    with monkeypatch.context() as patch:
        kill_at_call(patch, package_runs, "result_of", 1)
        with pytest.raises(Killed):
            run(role, runs)
    assert not (folder_of(role, runs) / "result.json").exists()
    assert_same_run(run(role, runs), uninterrupted[role])


@pytest.mark.parametrize("bytes_written", [0, 100, 5000])
def test_full_disk_while_a_checkpoint_is_written(
    bytes_written: int, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint before stays as it was, the run fails in one line, and resumes once there is space."""
    saves = 0
    save = torch.save

    def save_until_full(state: Any, file: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 3:
            file.write(b"x" * bytes_written)
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", save_until_full)
        with pytest.raises(RunFailure, match="No space left on device"):
            run("generator", tmp_path, "monitor.checkpoint_seconds=0")
    folder = folder_of("generator", tmp_path)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["done"]["step"] == 2
    assert not list(folder.rglob("*.tmp"))
    assert_same_run(run("generator", tmp_path), uninterrupted["generator"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_stops(
    number: signal.Signals, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(number)
    step = GeneratorTraining.step
    steps = 0

    def signalled(self: GeneratorTraining, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            os.kill(os.getpid(), number)
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(GeneratorTraining, "step", signalled)
        with pytest.raises(Interrupted) as stop:
            run("generator", tmp_path)
    assert stop.value.signal_number == number
    assert signal.getsignal(number) is handler
    folder = folder_of("generator", tmp_path)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["done"]["step"] == 4
    assert_same_run(run("generator", tmp_path), uninterrupted["generator"])


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("role", ROLES)
def test_a_signal_at_an_epochs_end_saves_the_epoch_and_stops(
    role: str, epoch: int, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in the middle of an evaluation; also in the last one, where nothing but the result is missing."""
    runs = runs_with_generator(role, uninterrupted, tmp_path)
    training: Any = GeneratorTraining if role == "generator" else ClassifierTraining
    end_epoch = training.end_epoch

    def signalled(self: Any, number: int) -> Any:
        if number == epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return end_epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(training, "end_epoch", signalled)
        with pytest.raises(Interrupted):
            run(role, runs)
    folder = folder_of(role, runs)
    done = torch.load(folder / "checkpoint.pt", weights_only=True)["done"]
    assert (done["epoch"], done["step"]) == (epoch, 5 * epoch)
    assert not (folder / "result.json").exists()
    assert_same_run(run(role, runs), uninterrupted[role])


def command(role: str, runs: Path, *more: str) -> list[str]:
    return [sys.executable, str(ROOT / f"train_{role}.py"), *overrides(role, runs, "chimeramix_segmentation", *more)]


@pytest.mark.parametrize("role", ROLES)
def test_sigkill_at_random_moments(role: str, uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """The real thing: a process killed whatever it is doing, until one gets through."""
    runs = runs_with_generator(role, uninterrupted, tmp_path)
    seed = random.SystemRandom().randrange(2**32)
    print(f"random seed {seed}")
    chance = random.Random(seed)
    kills = 0
    for attempt in range(6):
        process = subprocess.Popen(
            command(role, runs, "monitor.checkpoint_seconds=0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        folders = runs / role
        begun = time.monotonic()
        while process.poll() is None and not list(folders.glob("*/train.log")) and time.monotonic() - begun < 60:
            time.sleep(0.01)
        if attempt < 5:  # the last one may finish
            # The first kill comes soon, before a fast machine is done; later ones reach the end on a slow one.
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=chance.uniform(0, 0.1 * 3**attempt))
            process.kill()
        process.wait(timeout=120)
        kills += process.returncode == -signal.SIGKILL
        if (next(folders.iterdir()) / "result.json").exists():
            break
    assert kills >= 1, "every process finished before it was killed"
    assert_same_run(folder_of(role, runs), uninterrupted[role])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_status_of_an_interrupted_command(
    number: signal.Signals, status: int, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command("generator", tmp_path, "monitor.checkpoint_seconds=0"), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(tmp_path.glob("generator/*/checkpoint.pt")):
        time.sleep(0.01)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == status
    assert printed.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in printed
    assert_same_run(run("generator", tmp_path), uninterrupted["generator"])


def test_two_processes_with_one_identity_train_once(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    processes = [subprocess.Popen(command("generator", tmp_path), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted("done already" in text for text in printed) == [False, True]
    assert_same_run(folder_of("generator", tmp_path), uninterrupted["generator"])


def damage(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "checkpoint.pt"
    path.write_bytes(change(path.read_bytes()))
    (folder / "result.json").unlink()


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named(share: float, uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "generator" / uninterrupted["generator"].name
    shutil.copytree(uninterrupted["generator"], folder)
    damage(folder, lambda content: content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged .*rerun=true"):
        run("generator", tmp_path)
    assert_same_run(run("generator", tmp_path, "rerun=true"), uninterrupted["generator"])


def test_a_checkpoint_of_another_run_is_refused(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "generator" / uninterrupted["generator"].name
    shutil.copytree(uninterrupted["generator"], folder)
    (folder / "result.json").unlink()
    shutil.copy(uninterrupted["classifier"] / "checkpoint.pt", folder / "checkpoint.pt")
    with pytest.raises(UserError, match="belongs to another configuration"):
        run("generator", tmp_path)


def test_a_checkpoint_cannot_run_code(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harmed"),)

    folder = tmp_path / "generator" / uninterrupted["generator"].name
    shutil.copytree(uninterrupted["generator"], folder)
    (folder / "result.json").unlink()
    torch.save({"identity": Malicious()}, folder / "checkpoint.pt")
    with pytest.raises(UserError, match="damaged"):
        run("generator", tmp_path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("streams"), "'streams'"),
        (lambda state: state["streams"]["order"].update(device=torch.zeros(16, dtype=torch.uint8)), ""),
        (lambda state: state["training"]["network"].popitem(), "loading state_dict"),
        (lambda state: state.update(done=None), "NoneType"),
    ],
    ids=["no streams", "another device", "other weights", "no position"],
)
def test_a_checkpoint_of_another_version_is_refused(
    change: Callable[[dict[str, Any]], Any], reason: str, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "generator" / uninterrupted["generator"].name
    shutil.copytree(uninterrupted["generator"], folder)
    (folder / "result.json").unlink()
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt was written by another version .*rerun=true") as error:
        run("generator", tmp_path)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_lost_metrics_are_told(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "generator" / uninterrupted["generator"].name
    shutil.copytree(uninterrupted["generator"], folder, ignore=shutil.ignore_patterns("result.json", "metrics.jsonl"))
    with pytest.raises(UserError, match=r"metrics\.jsonl lacks epochs"):
        run("generator", tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_fails_in_one_line(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """The real command: not even its log can be written. A limit on a file's size stands for the disk's end."""
    folder = tmp_path / "generator" / uninterrupted["generator"].name
    folder.mkdir(parents=True)
    (folder / "train.log").symlink_to("/dev/full")
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    limited = f"import os, resource, sys; {limit}; os.execv(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", limited, *command("generator", tmp_path, "monitor.checkpoint_seconds=0")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.stderr.splitlines()[-1:] == errors
    assert "checkpoint.pt could not be written" in errors[0]
    assert "File too large" in errors[0]
    (folder / "train.log").unlink()
    assert_same_run(run("generator", tmp_path), uninterrupted["generator"])


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match="no longer finite in epoch 1"):
        run("generator", tmp_path, "generator.optimizer.lr=1e30")
    assert not (folder_of("generator", tmp_path) / "result.json").exists()


def test_a_test_loss_that_is_no_number_ends_the_run(
    uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_with_generator("classifier", uninterrupted, tmp_path)
    broken = Evaluation(math.nan, 0.1, 0.5, 0.1, torch.zeros(10, 10, dtype=torch.long), torch.zeros(1000, 10))
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments, **views: {"plain": broken})
    with pytest.raises(RunFailure, match="no longer finite in epoch 1"):
        run("classifier", runs)
    assert (folder_of("classifier", runs) / "metrics.jsonl").read_text() == ""


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    assert_same_run(run("generator", tmp_path / "again"), uninterrupted["generator"])
    other = run("generator", tmp_path / "other", "seed=1", "split_seed=0")
    assert figures(other)["records"] != figures(uninterrupted["generator"])["records"]
    splits = [json.loads((folder / "split.json").read_text()) for folder in (other, uninterrupted["generator"])]
    assert splits[0]["indices"] == splits[1]["indices"]
