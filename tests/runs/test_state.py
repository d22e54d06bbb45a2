"""What a run's folder tells about it, whatever became of its process."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from chimeramix.errors import Interrupted, RunFailure
from chimeramix.runs.state import Progress, RunStatus, read_state, recorded, write_status
from tests.report.store import write_record


def test_a_folder_that_is_not_there_is_a_missing_run(tmp_path: Path) -> None:
    assert read_state(tmp_path / "absent") == ("missing", None)


def test_a_result_makes_a_run_done(tmp_path: Path) -> None:
    write_status(tmp_path, RunStatus("running", "python ..."))
    write_record(tmp_path, {"role": "classifier"})
    assert read_state(tmp_path) == ("done", None)


@pytest.mark.parametrize("content", ["", '{"test": ', "{}", "[1]", "5"])
def test_a_damaged_result_makes_no_run_done(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    state, status = read_state(tmp_path)
    assert state == "failed"
    assert status is not None
    assert status.reason is not None
    assert re.fullmatch(r"result\.json is damaged \(.+\); start over with rerun=true", status.reason)


def test_a_checkpoint_without_more_is_an_interrupted_run(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").touch()
    assert read_state(tmp_path)[0] == "interrupted"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Interrupted(15), "interrupted", "stopped by signal 15"),
        (KeyboardInterrupt(), "interrupted", "its process was asked to end"),
        (RunFailure("the loss is nan"), "failed", "the loss is nan"),
        (OSError(28, "No space left on device"), "failed", "[Errno 28] No space left on device"),
        (ValueError("a bug\nin two lines"), "failed", "ValueError: a bug in two lines"),
    ],
)
def test_how_a_run_ended_is_recorded(tmp_path: Path, error: BaseException, state: str, reason: str) -> None:
    with pytest.raises(type(error)), recorded(tmp_path, "python train_classifier.py"):
        raise error
    found, status = read_state(tmp_path)
    assert status is not None
    assert (found, status.reason, status.command) == (state, reason, "python train_classifier.py")


def test_a_finished_run_has_no_status(tmp_path: Path) -> None:
    with recorded(tmp_path, "python train_classifier.py"):
        assert json.loads((tmp_path / "status.json").read_text())["state"] == "running"
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_running_while_a_process_holds_its_folder(tmp_path: Path) -> None:
    """And interrupted once that process is gone, even by a kill that left it no time to say so."""
    program = f"""
import time
from pathlib import Path
from filelock import FileLock
from chimeramix.runs.state import recorded
folder = Path({str(tmp_path)!r})
with FileLock(folder / ".lock"), recorded(folder, "again") as progress:
    progress(0, 100)
    progress.status.updated = 0  # as if long ago: writes the next one
    progress(25, 100)
    print(flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    state, status = read_state(tmp_path)
    assert state == "running"
    assert status is not None
    assert (status.step, status.steps) == (25, 100)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    state, status = read_state(tmp_path)
    assert state == "interrupted"
    assert status is not None
    assert status.reason is not None
    assert f"its process is gone (process {process.pid}" in status.reason


def test_another_reader_does_not_look_like_a_running_run(tmp_path: Path) -> None:
    write_status(tmp_path, RunStatus("failed", "again", "no space"))
    with FileLock(tmp_path / ".lock"):
        assert read_state(tmp_path)[0] == "running"
    with (tmp_path / ".lock").open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert read_state(tmp_path)[0] == "failed"


def test_a_job_that_waits_for_a_generator_is_told_apart_from_a_kill(tmp_path: Path) -> None:
    write_status(tmp_path, RunStatus("started", "again"))
    state, status = read_state(tmp_path)
    assert state == "interrupted"
    assert status is not None
    assert status.reason is not None
    assert status.reason.startswith("it waits for a generator, or its process is gone (process ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_in_somebody_elses_folder_the_status_is_believed(tmp_path: Path) -> None:
    write_status(tmp_path, RunStatus("running", "again"))
    (tmp_path / ".lock").touch(mode=0)
    assert read_state(tmp_path)[0] == "running"


def test_the_time_left_follows_from_this_process_pace(tmp_path: Path) -> None:
    """Steps that an earlier process did say nothing of how fast this one is."""
    progress = Progress(tmp_path, "again")
    progress(600, 1000)  # resumed here
    assert progress.status.seconds_left is None
    progress.status.started = time.time() - 50
    progress(700, 1000)
    write_status(tmp_path, progress.status)
    status = read_state(tmp_path)[1]
    assert status is not None
    assert status.seconds_left == pytest.approx(150, abs=2)  # 100 steps in 50 s, 300 to go


@pytest.mark.parametrize(("ago", "left"), [(0, 150), (40, 110), (150, 0), (1000, 0)])
def test_the_time_left_shrinks_while_nothing_is_written(ago: float, left: float) -> None:
    """Written `ago` seconds before: 100 steps in 50 s, 300 to go. A run that is late has none left, not less."""
    updated = time.time() - ago
    status = RunStatus("running", "again", None, 700, 1000, 600, started=updated - 50, updated=updated)
    assert status.seconds_left == pytest.approx(left, abs=2)
    assert status.seconds_left >= 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"state": "running"}',
        '{"state": "colour", "command": "again"}',
        '{"state": "failed", "command": ["again"]}',
        '{"state": "running", "command": "again", "step": "5", "steps": 10}',
        '{"state": "running", "command": "again", "updated": null}',
    ],
)
def test_a_damaged_status_is_named_and_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoint.pt").touch()
    (tmp_path / "status.json").write_text(content)
    state, status = read_state(tmp_path)
    assert state == "interrupted"
    assert status is not None
    assert status.reason == "status.json is damaged: how it ended is not known"
    with FileLock(tmp_path / ".lock"):
        assert read_state(tmp_path)[0] == "running"


def test_a_status_of_a_later_version_is_read_as_far_as_known(tmp_path: Path) -> None:
    write_status(tmp_path, RunStatus("failed", "again", "no space"))
    content = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps({**content, "colour": "green"}))
    state, status = read_state(tmp_path)
    assert state == "failed"
    assert status is not None
    assert status.reason == "no space"


def test_the_status_keeps_the_last_loss_and_accuracy(tmp_path: Path) -> None:
    progress = Progress(tmp_path, "again")
    progress(0, 30, {})
    assert (progress.status.loss, progress.status.accuracy) == (None, None)
    progress(10, 30, {"epoch": 1, "loss": 2.5, "test": {"accuracy": 0.25}})
    progress(20, 30, {"epoch": 2, "loss": 1.5})  # not evaluated
    progress.end("interrupted", "stopped")
    status = read_state(tmp_path)[1]
    assert status is not None
    assert (status.loss, status.accuracy) == (1.5, 0.25)


@pytest.mark.parametrize("name", ["reconstruction", "pixels", "teacher"])
def test_a_generators_loss_is_what_it_has(tmp_path: Path, name: str) -> None:
    progress = Progress(tmp_path, "again")
    progress(10, 30, {"adversarial": 0.5, name: 0.125})
    assert progress.status.loss == 0.125
