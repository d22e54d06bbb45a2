"""Where a sweep's jobs run: in this process, in processes on this machine, or on a Slurm cluster."""

import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from chimeramix.errors import UserError
from chimeramix.files import write_json
from chimeramix.runs.state import RunStatus, read_state, write_status
from chimeramix.sweep import slurm
from chimeramix.sweep.job import SlurmJob, attempt
from chimeramix.sweep.plan import PlannedRun, count_states, states_of
from chimeramix.sweep.pool import run_pool
from chimeramix.sweep.task import read_job
from chimeramix.terminal import counted, time_text

log = logging.getLogger(__name__)

_LONGEST_WAIT = 20.0  # seconds between two looks at the queue
_LOG_SECONDS = 60.0  # between two lines about a sweep's state where there is no terminal


@dataclass(frozen=True)
class Job:
    """A job of Slurm or of a pool: its file and the runs in it."""

    file: Path
    runs: list[PlannedRun]


def in_this_process(jobs: list[Job]) -> None:
    """One run after another. Raises `Interrupted`."""
    for job in jobs:
        for task in read_job(job.file):
            attempt(task)


def on_this_machine(jobs: list[Job], at_once: int, deal_gpus: bool = True) -> None:
    """Some runs at the same time, each in a process of its own; see `run_pool`. Raises `Interrupted`."""
    tasks = [(job.file, number) for job in jobs for number in range(len(job.runs))]
    runs = [run for job in jobs for run in job.runs]
    count, done, started = 0, 0, time.monotonic()
    with _bar(len(tasks)) as bar:

        def ended(position: int) -> None:
            nonlocal count, done
            count += 1
            bar.update()
            folder = runs[position].folder
            if bar.disable:
                state, status = read_state(folder)
                paused = status is not None and status.paused
                done += state == "done"
                more = ""
                if state == "done" and done >= at_once and count < len(runs):
                    pace = (time.monotonic() - started) / math.ceil(done / at_once)  # seconds for `at_once` runs
                    more = f", about {time_text(pace * math.ceil((len(runs) - count) / at_once))} left"
                log.info("%d of %d: %s %s%s", count, len(runs), folder.name, "paused" if paused else state, more)

        run_pool(tasks, at_once, ended, deal_gpus)


def on_slurm(jobs: list[Job], resources: dict[str, Any], largest_batch: int | None, sweep_folder: Path) -> None:
    """Submits arrays of jobs and waits until all have ended; shows meanwhile how far the sweep is.

    Args:
        resources: the keys of hydra-submitit-launcher's Slurm configuration.
        largest_batch: most jobs of an array.

    Raises:
        UserError: where Slurm takes none of the jobs.
    """
    batches = _split(jobs, largest_batch or len(jobs))
    active: dict[str, tuple[Any, Job]] = {}
    ended: list[tuple[str, RunStatus | None]] = []  # states of the runs of jobs that have ended
    absent: set[str] = set()  # from the queue at the last look; a job between two states may be absent for a moment
    submitted = False
    wait, next_submission, next_line, last_line = 1.0, 0.0, 0.0, ""
    with _bar(sum(len(job.runs) for job in jobs)) as bar:
        while batches or active:
            if batches and time.monotonic() >= next_submission:
                if _submit(batches[0], resources, sweep_folder, active, submitted):
                    submitted = True
                    del batches[0]
                    continue
                next_submission = time.monotonic() + 60  # the cluster's limit is reached: once jobs have ended
            try:
                queued = slurm.queue()
            except ConnectionError as error:
                log.warning("%s; trying again", error)
                queued = dict.fromkeys(active, "UNKNOWN")
            for number, (handle, job) in list(active.items()):
                if handle.paths.result_pickle.exists() or (number not in queued and number in absent):
                    del active[number]
                    _record_end(number, handle, job)
                    ended += states_of(job.runs)
            absent = {number for number in active if number not in queued}
            pending = [*(job for _, job in active.values()), *(job for batch in batches for job in batch)]
            states = ended + states_of([run for job in pending for run in job.runs])
            bar.n = sum(state == "done" for state, _ in states)
            bar.refresh()
            line = f"{count_states(states)}; {counted(len(active), 'job')} in the queue"
            if bar.disable and line != last_line and time.monotonic() >= next_line:
                last_line, next_line = line, time.monotonic() + _LOG_SECONDS
                log.info("%s", line)
            if active or batches:
                time.sleep(wait)
                wait = min(wait * 1.2, _LONGEST_WAIT)


def _submit(
    jobs: list[Job], resources: dict[str, Any], sweep_folder: Path, active: dict[str, Any], submitted: bool
) -> bool:
    """Submits an array; False where Slurm takes no more at the moment, having taken some before (`submitted`)."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    given = {key: value for key, value in resources.items() if key != "_target_"}
    folder = given.pop("submitit_folder")
    common = BaseQueueConf.__dataclass_fields__
    try:
        executor = submitit.AutoExecutor(
            cluster="slurm", folder=folder, slurm_max_num_timeout=given.pop("max_num_timeout")
        )
        executor.update_parameters(
            **{key if key in common else f"slurm_{key}": value for key, value in given.items() if value is not None}
        )
        handles = executor.map_array(SlurmJob(), [str(job.file.absolute()) for job in jobs])
    except Exception as error:  # sbatch's refusals come in several types, resources it can't read in others
        lines = [line.strip() for line in str(error).splitlines() if "error:" in line] or str(error).splitlines()
        reason = lines[-1] if lines else type(error).__name__
        if submitted:
            log.warning("Slurm takes no more jobs at the moment (%s); trying again", reason)
            return False
        raise UserError(f"Slurm did not take the sweep: {reason}; see hydra.launcher.* (--info config)") from error
    taken = {handle.job_id: (handle, job) for handle, job in zip(handles, jobs, strict=True)}
    active.update(taken)
    _note_jobs(sweep_folder / "sweep.json", {number: job for number, (_, job) in taken.items()})
    first = handles[0].job_id.split("_")[0]
    log.info(
        "submitted %s as Slurm job %s; output: %s", counted(len(jobs), "job"), first, handles[0].paths.folder.parent
    )
    return True


def _note_jobs(path: Path, jobs: dict[str, Job]) -> None:
    """Adds job numbers to `sweep.json`, by which a later command knows what is queued."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["jobs"].update({number: [run.identity for run in job.runs] for number, job in jobs.items()})
    write_json(path, content)


def _record_end(number: str, handle: Any, job: Job) -> None:
    """Writes down why the unfinished runs of an ended job are not finished."""
    if handle.paths.result_pickle.exists():
        error = handle.exception()
        reason = str(error).strip().splitlines()[-1] if error is not None else None
    else:
        reason = slurm.end_of(number)
    if reason is None:
        return  # the runs have recorded what there is to say
    for run in job.runs:
        state, status = read_state(run.folder)
        if state in ("interrupted", "missing"):
            status = status or RunStatus("interrupted", run.command)
            status.state, status.reason = "interrupted", f"Slurm job {number}: {reason}"
            write_status(run.folder, status)


def _split(jobs: list[Job], size: int) -> list[list[Job]]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


@contextlib.contextmanager
def _bar(total: int) -> "Iterator[tqdm[Any]]":
    with tqdm(total=total, unit="run", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        yield bar
