"""The runs of trials: ordinary runs of the command, launched as sweeps launch theirs, and what came out of them."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chimeramix.config.search import Words
from chimeramix.config.sweep import Sweep, sweep_of_jobs
from chimeramix.config.tree import Tree
from chimeramix.errors import RunFailure, UserError
from chimeramix.runs.record import read_record
from chimeramix.runs.state import FAILED_TRIAL, RunStatus, read_state, write_status
from chimeramix.sweep.driver import check_machines, launch, states_and_queue
from chimeramix.sweep.plan import PlannedRun, plan
from chimeramix.sweep.trial import Trials
from chimeramix.terminal import counted
from chimeramix.tuning.options import Options
from chimeramix.tuning.rungs import Rung
from chimeramix.tuning.trials import Outcome, Values

log = logging.getLogger(__name__)

_AT_WORK = ("running", "queued")
_TRIES = 2  # of a run that is killed, maybe for its memory
_WAIT = 1.0  # seconds between two looks at runs of other processes


@dataclass(frozen=True)
class Runs:
    """Does the runs of trials.

    Attributes:
        tree, words: of the command, its space included.
        seed: of the first run.
        command: repeats the study.
    """

    tree: Tree
    words: Words
    options: Options
    seed: int
    command: str
    built: Trials = field(default_factory=Trials)

    def __call__(self, trials: dict[int, Values], rung: Rung) -> dict[int, list[Outcome]]:
        """Brings the runs of trials to a rung.

        Raises:
            UserError, Interrupted, KeyboardInterrupt: see `chimeramix.sweep.driver.launch`.
            RunFailure: where runs have neither got there nor failed of what they compute.
        """
        refused: dict[int, str] = {}
        planned: dict[int, list[PlannedRun]] = {}
        asked: Sweep | None = None
        for number, values in trials.items():
            try:
                sweep = self.sweep(values, rung)
                runs = [run for run in plan(sweep).of_each if run is not None]
                for run in runs:
                    self.built.run(run)
            except UserError as error:  # values that do not go together
                refused[number] = str(error)
                continue
            planned[number] = runs
            asked = asked or sweep
        if asked is not None:
            everything = {run.identity: run for runs in planned.values() for run in runs}
            self._bring(asked, list(everything.values()), rung)
        found = {number: self._outcomes(runs, rung) for number, runs in planned.items()}
        found |= {number: [Outcome("", "its settings", 0, self.seed, None, 0, why)] for number, why in refused.items()}
        return {number: found[number] for number in trials}

    def sweep(self, values: Values, rung: Rung) -> Sweep:
        """The runs of one trial; those of a held-out part stand together, a seed after the other."""
        words = words_with(self.words, values)
        if rung.every is not None:
            words += [f"monitor.evaluate_every={rung.every}"]
        if rung.epoch is not None:
            words += [f"monitor.stop_after={rung.epoch}"]
        jobs = [
            [*words, *part, f"seed={self.seed + number}"]
            for part in self.options.held_out_words()[: rung.parts]
            for number in range(self.options.seeds)
        ]
        typed = [word if isinstance(word, str) else word.word for word in self.words]
        return sweep_of_jobs(self.tree, typed, jobs, self.command)

    def _bring(self, asked: Sweep, runs: list[PlannedRun], rung: Rung) -> None:
        """Launches what is missing, once, and waits for what other processes are doing already. Runs that are killed,
        maybe for their memory, have a second try."""
        launched: Counter[str] = Counter()
        waiting = False
        while True:
            states = states_and_queue(runs, asked.folder.parent)
            both = zip(runs, states, strict=True)
            short = [(run, *state) for run, state in both if not self._there(run, state[0], rung)]
            busy = [run for run, state, _ in short if state in _AT_WORK]
            todo = [
                _that_is_evaluated(run, rung)
                for run, state, status in short
                if state not in _AT_WORK
                and not (status is not None and status.failed_trial)
                and launched[run.identity] < (_TRIES if _killed(status) else 1)
            ]
            if todo:
                for line in check_machines(asked, todo):
                    log.warning("%s", line)
                launch(asked, runs, todo)
                launched.update(run.identity for run in todo)
            elif busy:
                if not waiting:
                    log.info("%s of this study at work already: waiting", counted(len(busy), "run"))
                    waiting = True
                time.sleep(_WAIT)
            else:
                _check_ended(short)
                return

    def _there(self, run: PlannedRun, state: str, rung: Rung) -> bool:
        return state not in _AT_WORK and look(run.folder, rung.epoch, self.options.metric) is not None

    def _outcomes(self, runs: Sequence[PlannedRun], rung: Rung) -> list[Outcome]:
        outcomes = []
        for position, run in enumerate(runs):
            part, number = divmod(position, self.options.seeds)
            known = Outcome(run.identity, run.folder.name, part, self.seed + number)
            found = look(run.folder, rung.epoch, self.options.metric)
            outcomes.append(replace(known, score=found[0], steps=found[1]) if found else _failed(known, run.folder))
        return outcomes


def words_with(words: Words, values: Values) -> list[str]:
    """The words of a command with one value for each key that they search."""
    return [word if isinstance(word, str) else word.text(values[word.key]) for word in words]


def look(folder: Path, epoch: int | None, metric: str) -> tuple[float, int] | None:
    """A run's score on held-out images and the steps that it took; None where the run is not that far.

    Args:
        epoch: at whose end, or at the next evaluation's where that epoch had none; None: at the end of the run.

    Raises:
        DamagedRecord: for a record that can't be used.
    """
    record = read_record(folder)
    if epoch is not None:
        for line in _epochs(folder):
            if line["epoch"] >= epoch and "validation" in line:
                return float(line["validation"][metric]), int(line["step"])
    if record is None:
        return None
    return float(record.result["validation"][metric]), int(record.result["steps"])


def _epochs(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of a run's epochs, without a last one that a kill cut short."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _that_is_evaluated(run: PlannedRun, rung: Rung) -> PlannedRun:
    """The run, to stop at the next evaluation where it has passed the rung without one: it may have been begun by a
    study that stops nobody."""
    reached = max((int(line["epoch"]) for line in _epochs(run.folder)), default=0)
    if rung.epoch is None or rung.every is None or reached < rung.epoch or run.settings is None:
        return run
    config = run.settings.config
    monitor = replace(config.monitor, stop_after=(reached // rung.every + 1) * rung.every)
    return replace(run, settings=replace(run.settings, config=replace(config, monitor=monitor)))


def _killed(status: RunStatus | None) -> bool:
    return status is not None and status.out_of_memory


def _failed(known: Outcome, folder: Path) -> Outcome:
    """Of a run that will not be tried again, which its folder says from now on."""
    state, status = read_state(folder)
    steps = max((int(line["step"]) for line in _epochs(folder)), default=0)
    reason = ((status.reason if status else None) or "it failed").removesuffix(f" {FAILED_TRIAL}")
    ended = state in ("failed", "interrupted")
    if ended and type(status) is RunStatus and not status.failed_trial:  # a damaged record stays as it is
        write_status(folder, replace(status, state="failed", reason=f"{reason} {FAILED_TRIAL}"))
    return replace(known, steps=steps, reason=reason)


def _check_ended(short: list[tuple[PlannedRun, str, RunStatus | None]]) -> None:
    """Raises `RunFailure` for runs that were stopped from outside: what they would have given is not known. Those that
    were killed, maybe for their memory, and again at their second try have failed."""
    stopped = [(run, status) for run, state, status in short if state != "failed" and not _killed(status)]
    if stopped:
        run, status = stopped[0]
        reason = (status.reason if status else None) or "it never began"
        raise RunFailure(
            f"{counted(len(stopped), 'run')} did not end, {run.folder}: {reason}; repeat the command to go on"
        )
