"""A job of a sweep: one run, or several at the same time (see `chimeramix.sweep.task` for its file).

`python -m chimeramix.sweep.job FILE NUMBER` does one run of it.
"""

import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from chimeramix.errors import EXPECTED, Interrupted, one_line, status_of
from chimeramix.runs.state import RunStatus, read_state, write_status
from chimeramix.sweep.task import Task, read_job
from chimeramix.terminal import set_up_logging


class SlurmJob:
    """What submitit calls on a node, and again with the same argument when the job was put back into the queue."""

    def __call__(self, file: str) -> None:
        from chimeramix.sweep.pool import run_pool, take_any_gpu

        set_up_logging()
        tasks = read_job(Path(file))
        try:
            if len(tasks) == 1:
                attempt(tasks[0])
            else:
                numbered = [(Path(file), number) for number in range(len(tasks))]
                devices = [task.settings.config.machine.device for task in tasks]
                run_pool(numbered, len(tasks), deal_gpus=take_any_gpu(devices))
        except Interrupted as stop:
            # submitit's handler, which puts the job back into the queue and leaves; it raises where a job has
            # reached its time limit more often than hydra.launcher.max_num_timeout allows.
            handler: Any = signal.getsignal(stop.signal_number)
            handler(stop.signal_number, None)

    def checkpoint(self, file: str) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, file)


def attempt(task: Task) -> bool:
    """Trains a run, and the generator it may lack; returns whether that succeeded. A failure is printed and recorded in
    the run's folder, and leaves the other runs alone.

    Raises:
        Interrupted: the run's state is saved.
    """
    if read_state(task.folder)[0] in ("missing", "interrupted", "failed"):
        # An earlier failure is history; until its folder is locked, it may wait for a generator.
        write_status(task.folder, RunStatus("started", task.command))
    try:
        from chimeramix.runs.train import train

        train(task.settings, generator_too=True, sweep=task.sweep)
    except Interrupted:
        raise
    except EXPECTED as error:
        reason = one_line(error)
    except Exception as error:
        traceback.print_exc()
        reason = one_line(error)
    else:
        return True
    print(f"error: {reason}", file=sys.stderr)
    write_status(task.folder, RunStatus("failed", task.command, reason))
    return False


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main(file: str, number: str) -> int:
    """One run of a job in a process of its own: SIGUSR2 saves and ends it, SIGTERM saves."""
    signal.signal(signal.SIGUSR2, _leave)
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # ignored so far; nothing to save yet
    set_up_logging()
    try:
        return 0 if attempt(read_job(Path(file))[int(number)]) else 1
    except Interrupted as stop:
        return status_of(stop)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
