"""A study's folder: `tuning.json`, which decides what the study is, `study.journal`, Optuna's copy of it, and pictures.

`tuning.json` is replaced as a whole after each generation. What a kill leaves behind is a study that lacks the
generation in flight: that is asked for again, with the same values, and its runs are found as far as they came.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chimeramix import __version__
from chimeramix.config.search import Axis
from chimeramix.errors import RunFailure, UserError
from chimeramix.files import write_json
from chimeramix.tuning.rungs import Rung
from chimeramix.tuning.sampler import ask, write_journal
from chimeramix.tuning.trials import Runner, Trial, Values, best_of, do_generation

_FORMAT = 1


@dataclass(frozen=True)
class Study:
    """A search.

    Attributes:
        folder: there or not.
        identity: of settings, space and options, as a run's of its spec.
        about: what `tuning.json` says of it beside its trials.
        axes: the keys that are searched.
        at_once: trials of a generation.
        seed: of the values that are drawn.
        maximise: whether greater scores are better.
        own: the settings' own values where the space holds them: the first trial has these, so that the winner is never
            worse, on held-out images, than what there was; None where it does not hold them.
    """

    folder: Path
    identity: str
    axes: list[Axis]
    at_once: int
    seed: int
    maximise: bool
    own: Values | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        return self.folder / "tuning.json"

    def trials(self) -> list[Trial]:
        """Those that have ended, generation by generation. Raises `UserError` for a damaged record."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
            trials = [Trial.from_json(each) for each in content["trials"]]
            whole = content["format"] == _FORMAT and len(trials) % self.at_once == 0
            if not whole or content["identity"] != self.identity:
                raise ValueError(f"format {content['format']}, study {content['identity']}, {len(trials)} trials")
            return trials
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.record} is damaged ({error}); remove it to search again: finished runs are not repeated"
            ) from error

    def next_values(self, trials: Sequence[Trial]) -> list[Values]:
        """Of the next generation."""
        own = None if trials else self.own
        first = [own] if own else []
        return [*first, *ask(self.axes, trials, self.at_once - len(first), self.seed, self.maximise, own)]

    def write(self, trials: Sequence[Trial]) -> None:
        """Raises `RunFailure` where a file can't be written."""
        best = best_of(trials, self.maximise)
        content = {
            "format": _FORMAT,
            "identity": self.identity,
            "version": __version__,
            **self.about,
            "best": best.number if best else None,
            "trials": [trial.to_json() for trial in trials],
        }
        write_json(self.record, content)
        write_journal(self.folder / "study.journal", self.folder.name, self.axes, trials, self.maximise)

    def with_budget(self, trials: int) -> "Study":
        return replace(self, about={**self.about, "budget": {**self.about.get("budget", {}), "trials": trials}})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and holds it; the operating system frees the lock of a process that dies.

        Raises:
            UserError: where it can't be written.
            RunFailure: where another process searches.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFailure(f"{self.folder}: another process is at work on this study; wait until it ends") from error
        except OSError as error:
            raise UserError(
                f"{self.folder} can't be written ({error.strerror}); choose another folder with machine.runs_dir=DIR"
            ) from error
        try:
            yield
        finally:
            lock.release()


def search_on(
    study: Study, wanted: int, rungs: Sequence[Rung], run: Runner, ended: Callable[[Trial, list[Trial]], object]
) -> list[Trial]:
    """Does generations until a study has as many trials as wanted; each is recorded as a whole.

    Args:
        ended: called with each trial that ends and all trials so far, in the order of their numbers.

    Returns:
        All trials.
    """
    study = study.with_budget(wanted)
    trials = study.trials()
    study.write(trials)
    while len(trials) < wanted:
        asked = study.next_values(trials)
        done = do_generation(len(trials), asked, rungs, trials, run, study.maximise)
        study.write([*trials, *done])
        for trial in done:
            trials = [*trials, trial]
            ended(trial, trials)
    return trials
