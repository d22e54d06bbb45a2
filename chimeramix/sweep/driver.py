"""From a sweep's command line to its summary: plan, submit what is missing, wait, tell what became of it."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from chimeramix.config.compose import Tree
from chimeramix.config.settings import Settings
from chimeramix.config.sweep import Sweep, read_sweep
from chimeramix.errors import Interrupted, RunFailure, UserError
from chimeramix.machine import Machine
from chimeramix.runs.commands import to_repeat, train_command
from chimeramix.runs.state import RunStatus
from chimeramix.sweep.launch import Job, in_this_process, on_slurm, on_this_machine
from chimeramix.sweep.plan import Cell, Plan, count_states, plan, queue_of, states_of, write_plan
from chimeramix.sweep.pool import default_at_once
from chimeramix.sweep.task import write_job
from chimeramix.sweep.trial import Trials
from chimeramix.terminal import counted

log = logging.getLogger(__name__)

LAUNCHERS = {
    "basic": "basic",
    "local": "local",
    "submitit_local": "local",  # would start all runs at once
    "slurm": "slurm",
    "submitit_slurm": "slurm",
}
_MOST_TOLD = 20  # unfinished runs in a summary


def sweep(tree: Tree, overrides: list[str]) -> None:
    """Trains all runs of a sweep that are not done yet.

    Raises:
        UserError: before anything is written.
        RunFailure: where not all runs are done at the end.
        Interrupted, KeyboardInterrupt: after a signal.
    """
    asked = read_sweep(tree, overrides)
    if asked.launcher not in LAUNCHERS:
        raise UserError(f"hydra/launcher={asked.launcher}: sweeps run with slurm, local or basic")
    launcher = LAUNCHERS[asked.launcher]
    planned = plan(asked)
    states = _states(planned.cells, asked.folder.parent)
    todo, trials = [], Trials()
    for (cell, settings, source), (state, _) in zip(planned.runs, states, strict=True):
        if state in ("missing", "interrupted", "failed") or (state == "done" and settings.config.rerun):
            trials.run(settings, source)
            todo.append((cell, settings))
    if todo and launcher == "slurm" and shutil.which("srun") is None:
        raise UserError(
            "there is no Slurm on this machine (srun is not found): add hydra/launcher=local to do the sweep's runs "
            "here, several at the same time, or hydra/launcher=basic to do them one after another"
        )
    if todo and launcher != "slurm":  # what the nodes of a cluster have is not known here
        machines = (settings.config.machine for _, settings in todo)
        for chosen in {(each.device, each.precision, each.compile, each.threads) for each in machines}:
            Machine.choose(*chosen)
    if planned.nothing:
        log.info("%d of %d combinations train no %s: nothing to do", planned.nothing, planned.combinations, tree.role)
    if planned.runs:
        log.info("%s: %s", counted(len(planned.runs), "run"), count_states(states))
    if todo:
        _launch(launcher, asked, planned, todo)
    if planned.runs:
        _summarise(planned.cells, asked)


def _states(cells: list[Cell], sweeps: Path) -> list[tuple[str, RunStatus | None]]:
    states = states_of(cells)
    if all(state == "done" for state, _ in states):
        return states
    try:
        return states_of(cells, queue_of(sweeps))
    except ConnectionError as error:
        raise RunFailure(str(error)) from error


def _launch(launcher: str, asked: Sweep, planned: Plan, todo: list[tuple[Cell, Settings]]) -> None:
    folder = _new_folder(asked.folder)
    write_plan(folder, asked, planned.cells)
    pack = todo[0][1].config.sweep.pack
    size = pack or 1 if launcher == "slurm" else 1
    jobs = []
    for number, start in enumerate(range(0, len(todo), size)):
        cells, settings = zip(*todo[start : start + size], strict=True)
        job = Job(folder / "jobs" / f"{number}.json", list(cells))
        write_job(job.file, job.cells, list(settings))
        jobs.append(job)
    try:
        if launcher == "basic":
            in_this_process(jobs)
        elif launcher == "local":
            on_this_machine(jobs, pack or default_at_once())
        else:
            on_slurm(jobs, asked.resources, asked.largest_batch, folder)
    except UserError:
        shutil.rmtree(folder)
        for parent in (folder.parent, folder.parent.parent):
            with suppress(OSError):  # others' files are in it
                parent.rmdir()
        raise
    except KeyboardInterrupt:
        if launcher == "slurm":
            log.info("the jobs go on without this command; how they do: chimeramix status %s", _runs_dir(asked))
        raise
    except Interrupted:
        log.info("%s", count_states(states_of(planned.cells)))
        raise


def _new_folder(wanted: Path) -> Path:
    """Makes a sweep's folder, with a number behind its name where the name is taken."""
    number, folder = 1, wanted
    while True:
        try:
            folder.mkdir(parents=True)
            (folder / "jobs").mkdir()
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}_{number}")
        except OSError as error:
            raise UserError(
                f"{folder} can't be written ({error.strerror}); choose another folder with machine.runs_dir=DIR"
            ) from error


def _runs_dir(asked: Sweep) -> str:
    return str(asked.runs[0].config.machine.runs_dir)


def _summarise(cells: list[Cell], asked: Sweep) -> None:
    """Tells how many runs are done and what is wrong with the others. Raises `RunFailure` where any is not done."""
    states = _states(cells, asked.folder.parent)
    unfinished = [(cell, state, status) for cell, (state, status) in zip(cells, states, strict=True) if state != "done"]
    for cell, state, status in unfinished[:_MOST_TOLD]:
        log.info("%s: %s", cell.folder, _describe(state, status))
    if len(unfinished) > _MOST_TOLD:
        log.info("... and %d more: chimeramix status %s", len(unfinished) - _MOST_TOLD, _runs_dir(asked))
    told = f"{count_states(states)} of {counted(len(cells), 'run')}"
    if any(state in ("queued", "running") for _, state, _ in unfinished):
        raise RunFailure(f"{told}; see how they do with: chimeramix status {_runs_dir(asked)}")
    if unfinished:
        command = train_command(asked.role, to_repeat(asked.overrides))
        raise RunFailure(f"{told}; for the rest repeat: {command} --multirun")
    log.info("the run is done" if len(cells) == 1 else f"all {len(cells)} runs are done")


def _describe(state: str, status: RunStatus | None) -> str:
    """`failed: no space left`."""
    return f"{state}: {status.reason}" if status and status.reason else state
