"""The state of an unfinished run: `status.json`, there from a run's start until its result is written.

A run is `done` (it has a result), `running` (a process holds its folder), `failed` (with a reason), `interrupted` (it
was stopped, or its process is gone, and goes on where it was) or `missing` (it never began).
"""

import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any

from chimeramix.errors import PAUSED, Interrupted, Paused, RunFailure, one_line
from chimeramix.files import write_json
from chimeramix.runs.record import DamagedRecord, metrics_of, read_record

log = logging.getLogger(__name__)

OUT_OF_MEMORY = "(out of memory?)"
"""How the reason of a run ends that was killed by SIGKILL; Slurm says OUT_OF_MEMORY of a job."""

FAILED_TRIAL = "(a failed trial of a study)"
"""How the reason of a run ends that a study has counted as failed, and does not try again."""

STATES = ("done", "running", "queued", "interrupted", "failed", "missing")

_SECONDS_BETWEEN_WRITES = 10
_SAID = ("running", "interrupted", "failed", "started")
_TYPES: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "command": (str,),
    "reason": (str, NoneType),
    "step": (int,),
    "steps": (int, NoneType),
    "first_step": (int, NoneType),
    "started": (int, float),
    "updated": (int, float),
    "where": (str,),
    "loss": (int, float, NoneType),
    "accuracy": (int, float, NoneType),
}
_LOSSES = ("loss", "reconstruction", "pixels", "teacher")  # what tells how a training goes, in an epoch's record


@dataclass
class RunStatus:
    """The content of `status.json`.

    Attributes:
        state: `running`, `interrupted` or `failed`, as the run itself last said; `started` where a job of a sweep has
            taken up the run and training has not begun, maybe because it waits for its generator.
        reason: of a failure or an interruption.
        command: goes on with the run.
        first_step: steps that were done when this process began.
        started, updated: seconds since 1970.
        where: host and process, or Slurm job, that wrote this.
        loss: of the last epoch; a generator's reconstruction, or its teacher's loss.
        accuracy: of the last evaluation, on the test set or the held-out images, in [0, 1].
    """

    state: str
    command: str
    reason: str | None = None
    step: int = 0
    steps: int | None = None
    first_step: int | None = None
    started: float = 0.0
    updated: float = 0.0
    where: str = ""
    loss: float | None = None
    accuracy: float | None = None

    @property
    def paused(self) -> bool:
        """Whether the run has stopped as it was asked to; the same command would end at once."""
        return (self.reason or "").endswith(PAUSED)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel or Slurm may have killed the run for its memory."""
        return (self.reason or "").endswith((OUT_OF_MEMORY, "OUT_OF_MEMORY"))

    @property
    def failed_trial(self) -> bool:
        """Whether a study has counted the run as a failed trial."""
        return (self.reason or "").endswith(FAILED_TRIAL)

    @property
    def seconds_left(self) -> float | None:
        """Expected from the pace of the process that trains it; None before anything is known."""
        if self.steps is None or self.first_step is None or self.step <= self.first_step:
            return None
        pace = (self.updated - self.started) / (self.step - self.first_step)
        return max(0.0, (self.steps - self.step) * pace - (time.time() - self.updated))


class DamagedStatus(RunStatus):
    """Stands for a `result.json`, `spec.json` or `status.json` that can't be used; `reason` names it."""


def read_state(folder: Path) -> tuple[str, RunStatus | None]:
    """The state of a run's folder, which need not exist, and what its `status.json` says, if there is one.

    A run is done where `read_record` finds a whole record, as in all other commands.
    """
    try:
        if read_record(folder) is not None:
            return "done", None
    except DamagedRecord as error:
        return "failed", DamagedStatus("failed", "", error.short)
    status = _read(folder / "status.json")
    if in_use(folder, otherwise=status is not None and status.state == "running"):
        return "running", status
    if status is None:
        # A checkpoint without status: of a version of this program that wrote none.
        return ("interrupted" if (folder / "checkpoint.pt").exists() else "missing"), None
    if isinstance(status, DamagedStatus):
        return "interrupted", status
    if status.state in ("running", "started"):
        waits = "it waits for a generator, or " if status.state == "started" else ""
        status.reason = f"{waits}its process is gone ({status.where})"
        return "interrupted", status
    return status.state, status


def in_use(folder: Path, otherwise: bool = False) -> bool:
    """Whether a process holds the folder's lock; `otherwise` where that can't be known: in another user's folder."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return otherwise
    try:
        # Shared: a reader must not look like a trainer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return otherwise
    finally:
        os.close(descriptor)
    return False


def write_status(folder: Path, status: RunStatus) -> None:
    """Replaces `status.json`. It is a convenience: a full disk stops no training."""
    status.updated = time.time()
    status.where = _where()
    with suppress(OSError, RunFailure):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "status.json", asdict(status), durable=False)


class Progress:
    """Keeps `status.json` up to date while a run trains; called with the steps done, the steps in all and the last
    epoch's record, which is empty before there is one."""

    def __init__(self, folder: Path, command: str) -> None:
        self._folder = folder
        self.status = RunStatus("running", command, started=time.time())
        write_status(folder, self.status)

    def __call__(self, step: int, steps: int, last: Mapping[str, Any] = MappingProxyType({})) -> None:
        status = self.status
        status.step, status.steps = step, steps
        status.loss = next((last[name] for name in _LOSSES if name in last), status.loss)
        status.accuracy = metrics_of(last).get("accuracy", status.accuracy)
        if status.first_step is None:  # the loop begins: parts are built, superpixels are there
            status.first_step, status.started = step, time.time()
        if time.time() - status.updated >= _SECONDS_BETWEEN_WRITES:
            write_status(self._folder, status)

    def end(self, state: str, reason: str) -> None:
        self.status.state, self.status.reason = state, reason
        write_status(self._folder, self.status)


@contextmanager
def recorded(folder: Path, command: str) -> Iterator[Progress]:
    """Tells in `status.json` that a run is at work, and how it ended where it does not finish. A `Paused` one has done
    what it was asked to: that is no error."""
    progress = Progress(folder, command)
    try:
        yield progress
    except Interrupted as stop:
        progress.end("interrupted", str(stop))
        raise
    except Paused as pause:
        progress.end("interrupted", str(pause))
        log.info("%s: %s", folder, pause)
        return
    except (KeyboardInterrupt, SystemExit):
        progress.end("interrupted", "its process was asked to end")
        raise
    except Exception as error:
        progress.end("failed", one_line(error))
        raise
    with suppress(OSError):
        (folder / "status.json").unlink(missing_ok=True)


def _read(path: Path) -> RunStatus | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {key: value for key, value in found.items() if key in _TYPES}  # a later version may write more
        for key, value in known.items():
            if type(value) not in _TYPES[key]:  # not isinstance: true is no number
                raise ValueError(f"{key}: {str(value)[:40]}")
        status = RunStatus(**known)
        if status.state not in _SAID:
            raise ValueError(f"state: {status.state[:40]}")
        return status
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return DamagedStatus("interrupted", "", f"{path.name} is damaged: how it ended is not known")


def _where() -> str:
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{job}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if job else os.environ.get("SLURM_JOB_ID")
    return f"Slurm job {job} on {platform.node()}" if job else f"process {os.getpid()} on {platform.node()}"
