"""From a sweep's command line to its summary: plan, submit what is missing, wait, report what became of it."""

import logging
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

from chimeramix.config.sweep import Sweep, read_sweep
from chimeramix.config.tree import Tree
from chimeramix.errors import PAUSED, Interrupted, RunFailure, UserError
from chimeramix.machine import Machine
from chimeramix.runs.commands import to_repeat, train_command
from chimeramix.runs.folder import cleared_for
from chimeramix.runs.record import read_record
from chimeramix.runs.sources import changed_since
from chimeramix.runs.state import RunStatus, read_state
from chimeramix.sweep.launch import Job, in_this_process, on_slurm, on_this_machine
from chimeramix.sweep.plan import PlannedRun, count_states, plan, queue_of, states_of, write_plan
from chimeramix.sweep.pool import default_at_once, take_any_gpu
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
_MOST_LISTED = 20  # unfinished runs in a summary


def sweep(tree: Tree, overrides: list[str]) -> None:
    """Trains all runs of a sweep that are not done yet.

    Raises:
        UserError: before anything is written.
        RunFailure: where not all runs are done at the end.
        Interrupted, KeyboardInterrupt: after a signal.
    """
    asked = read_sweep(tree, overrides)
    launcher_of(asked)
    planned = plan(asked)
    states = states_and_queue(planned.runs, asked.folder.parent)
    todo, trials = [], Trials()
    for run, (state, _) in zip(planned.runs, states, strict=True):
        assert run.settings is not None
        if state in ("missing", "interrupted", "failed") or (state == "done" and run.settings.config.rerun):
            trials.run(run)
            todo.append(run)
    for line in check_machines(asked, todo):
        log.warning("%s", line)
    if planned.nothing:
        train = "trains" if planned.nothing == 1 else "train"
        combinations = counted(planned.combinations, "combination")
        log.info("%d of %s %s no %s: nothing to do", planned.nothing, combinations, train, tree.role)
    if planned.runs:
        log.info("%s: %s", counted(len(planned.runs), "run"), count_states(states))
        _warn_of_changes([run for run, (state, _) in zip(planned.runs, states, strict=True) if state == "done"])
    former = launch(asked, planned.runs, todo) if todo else []
    if planned.runs:
        _summarise(planned.runs, asked, former)


def launcher_of(asked: Sweep) -> str:
    """`basic`, `local` or `slurm`. Raises `UserError` for a launcher of other runs than ours."""
    if asked.launcher not in LAUNCHERS:
        raise UserError(f"hydra/launcher={asked.launcher}: sweeps run with slurm, local or basic")
    return LAUNCHERS[asked.launcher]


def check_machines(asked: Sweep, todo: list[PlannedRun]) -> list[str]:
    """Raises `UserError` where the runs can't be done with the launcher, or not on this machine.

    Returns:
        Lines to log about runs that this machine is too slow for.
    """
    launcher = launcher_of(asked)
    if todo and launcher == "slurm" and shutil.which("srun") is None:
        raise UserError(
            "there is no Slurm on this machine (srun is not found): add hydra/launcher=local to do the sweep's runs "
            "here, several at the same time, or hydra/launcher=basic to do them one after another"
        )
    if launcher == "slurm":  # what the nodes of a cluster have is not known here
        return []
    configs = (run.settings.config.machine for run in todo if run.settings is not None)
    chosen = dict.fromkeys((each.device, each.precision, each.compile, each.threads) for each in configs)
    lines = (Machine.choose(*each).emulation() for each in chosen)
    return [line for line in dict.fromkeys(lines) if line]


def _warn_of_changes(finished: list[PlannedRun]) -> None:
    """A line about finished runs that are taken as they are, though their code has changed since."""
    changes: Counter[str] = Counter()
    for run in finished:
        record = read_record(run.folder)
        if record is not None and run.settings is not None and not run.settings.config.rerun:
            changes[changed_since(record.result, run.settings.config)] += 1
    for changed, count in changes.items():
        if changed:
            runs = f"{counted(count, 'finished run')} {'is' if count == 1 else 'are'} taken as before"
            log.warning("%s; changed since: %s; rerun=true trains them again", runs, changed)


def states_and_queue(runs: list[PlannedRun], sweeps: Path) -> list[tuple[str, RunStatus | None]]:
    """The state of each run, with what waits in Slurm's queue. Raises `RunFailure` where Slurm does not answer.

    Args:
        sweeps: the folder of all sweeps.
    """
    states = states_of(runs)
    if all(state == "done" for state, _ in states):
        return states
    try:
        return states_of(runs, queue_of(sweeps))
    except ConnectionError as error:
        raise RunFailure(str(error)) from error


def launch(asked: Sweep, runs: list[PlannedRun], todo: list[PlannedRun]) -> list[PlannedRun]:
    """Does some of a sweep's runs, and the generators that they lack, with its launcher; returns when all have ended.

    A run's failure is recorded in its folder and leaves the others alone.

    Args:
        asked: whose launcher, resources and folder they use.
        runs: all of the sweep, which its folder names.
        todo: those to do; `check_machines` and `Trials` have passed them.

    Returns:
        Those that were to start over and did not come to it: they have their former results.

    Raises:
        UserError: where the launcher takes none of them.
        Interrupted, KeyboardInterrupt: after a signal.
    """
    launcher = launcher_of(asked)
    folder = _new_folder(asked.folder)
    write_plan(folder, asked, runs)
    pack = asked.runs[0].config.sweep.pack
    size = pack or 1 if launcher == "slurm" else 1
    jobs = []
    for number, start in enumerate(range(0, len(todo), size)):
        job = Job(folder / "jobs" / f"{number}.json", todo[start : start + size])
        write_job(job.file, job.runs)
        jobs.append(job)
    try:
        if launcher == "basic":
            in_this_process(jobs)
        elif launcher == "local":
            devices = {run.settings.config.machine.device for run in todo if run.settings is not None}
            on_this_machine(jobs, pack or default_at_once(devices), take_any_gpu(devices))
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
            log.info("the jobs go on without this command; how far they are: chimeramix status %s", _runs_dir(asked))
        raise
    except Interrupted as stop:
        stop.rerun = any(run.settings is not None and run.settings.config.rerun for run in todo)
        log.info("%s", count_states(states_of(runs)))
        if former := _not_started_over(todo, folder):
            log.warning("%s; rerun=true starts all over", _with_former_results(former))
        raise
    return _not_started_over(todo, folder)


def _not_started_over(todo: list[PlannedRun], folder: Path) -> list[PlannedRun]:
    """Runs that were to start over, and have their former results."""
    again = [run for run in todo if run.settings is not None and run.settings.config.rerun]
    left = [run for run in again if not cleared_for(run.folder, str(folder.absolute()))]
    return [run for run in left if read_state(run.folder)[0] == "done"]


def _with_former_results(runs: list[PlannedRun]) -> str:
    count = len(runs)
    return f"{counted(count, 'run')} did not start over and {'has its' if count == 1 else 'have their'} former result"


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


def _summarise(runs: list[PlannedRun], asked: Sweep, former: list[PlannedRun]) -> None:
    """Says how many runs are done and what is wrong with the others. Raises `RunFailure` where any is not done, but for
    those that have stopped as they were asked to.

    Args:
        former: what `launch` returned.
    """
    states = states_and_queue(runs, asked.folder.parent)
    left = [(run, state, status) for run, (state, status) in zip(runs, states, strict=True) if state != "done"]
    unfinished = [each for each in left if not _stopped_as_asked(*each)]
    for run, state, status in unfinished[:_MOST_LISTED]:
        log.info("%s: %s", run.folder, _describe(state, status))
    if len(unfinished) > _MOST_LISTED:
        log.info("... and %d more: chimeramix status %s", len(unfinished) - _MOST_LISTED, _runs_dir(asked))
    for run in former[:_MOST_LISTED]:
        log.info("%s: did not start over", run.folder)
    summary = f"{count_states(states)} of {counted(len(runs), 'run')}"
    if any(state in ("queued", "running") for _, state, _ in unfinished):
        raise RunFailure(f"{summary}; how far they are: chimeramix status {_runs_dir(asked)}")
    if former:
        raise RunFailure(f"{summary}; {_with_former_results(former)}; rerun=true starts all over")
    if unfinished:
        command = train_command(asked.role, to_repeat(asked.overrides))
        raise RunFailure(f"{summary}; for the rest repeat: {command} --multirun")
    if left:
        log.info("%s; %d stopped as asked %s", summary, len(left), PAUSED)
    else:
        log.info("%s", "the run is done" if len(runs) == 1 else f"all {len(runs)} runs are done")


def _stopped_as_asked(run: PlannedRun, state: str, status: RunStatus | None) -> bool:
    asked = run.settings is not None and run.settings.config.monitor.stop_after is not None
    return asked and state == "interrupted" and status is not None and status.paused


def _describe(state: str, status: RunStatus | None) -> str:
    """`failed: no space left`."""
    return f"{state}: {status.reason}" if status and status.reason else state
