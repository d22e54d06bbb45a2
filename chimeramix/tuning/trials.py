"""Trials of one generation: their runs, rung by rung, and what is said of them at the end."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chimeramix.config.search import Value
from chimeramix.errors import RunFailure
from chimeramix.tuning.rungs import Rung, survivors

Values = dict[str, Value]


@dataclass(frozen=True)
class Outcome:
    """What a run of a trial gave at a rung.

    Attributes:
        identity, name: of the run and of its folder.
        part: number of the held-out part; folds vary fastest, repeats follow.
        seed: of the run.
        score: of the held-out images; None where the run failed.
        steps: that it was trained for.
        reason: of a failure.
    """

    identity: str
    name: str
    part: int
    seed: int
    score: float | None = None
    steps: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
        number: from 0 on, in the order in which they were asked for.
        values: by key.
        state: `complete`, `stopped` at a rung, or `failed`.
        score: mean over its runs at the last rung that it reached; None for a failed one.
        std: standard deviation over those runs; None for a single one.
        rungs: the rungs that it reached and its score there; see `chimeramix.tuning.rungs.Rung`.
        steps: of all of its runs together.
        runs: at the last rung that it reached.
        reason: of a failure.
    """

    number: int
    values: Values
    state: str
    score: float | None
    std: float | None
    rungs: list[tuple[int, float]]
    steps: int
    runs: list[Outcome] = field(default_factory=list)
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Trial":
        given = dict(content)
        given["rungs"] = [(int(step), float(score)) for step, score in given["rungs"]]
        given["runs"] = [Outcome(**run) for run in given["runs"]]
        return cls(**given)


Runner = Callable[[dict[int, Values], Rung], dict[int, list[Outcome]]]
"""Does the runs of trials, by number, up to a rung, and says what came out, in a fixed order."""


def do_generation(
    first: int, asked: Sequence[Values], rungs: Sequence[Rung], earlier: Sequence[Trial], run: Runner, maximise: bool
) -> list[Trial]:
    """Does the trials of a generation; nothing of it depends on which of their runs ends first.

    Args:
        first: number of the first trial.
        asked: the values of each.
        rungs: see `chimeramix.tuning.rungs.rungs_of`.
        earlier: trials of earlier generations, with which those of this one compete.

    Raises:
        RunFailure: where all of them failed, and what `run` raises.
    """
    values = dict(enumerate(asked, first))
    alive = list(values)
    scores: dict[int, list[tuple[int, float]]] = {number: [] for number in values}
    outcomes: dict[int, list[Outcome]] = {}
    for position, rung in enumerate(rungs):
        outcomes |= run({number: values[number] for number in alive}, rung)
        alive = [number for number in alive if all(each.score is not None for each in outcomes[number])]
        for number in alive:
            scores[number].append((rung.step, _mean(outcomes[number])))
        if position + 1 < len(rungs):
            here = [scores[number][-1][1] for number in alive]
            before = [score for trial in earlier for step, score in trial.rungs if step == rung.step]
            alive = [alive[place] for place in survivors(here, before, maximise)]
    trials = [_ended(number, values[number], outcomes[number], scores[number], len(rungs)) for number in values]
    if all(trial.state == "failed" for trial in trials):
        reason = trials[0].reason
        raise RunFailure(f"all {len(trials)} trials of this generation failed, the first one with: {reason}")
    return trials


def _ended(number: int, values: Values, runs: list[Outcome], scores: list[tuple[int, float]], rungs: int) -> Trial:
    steps = sum(run.steps for run in runs)
    failures = [run for run in runs if run.score is None]
    if failures:
        reason = f"{failures[0].name}: {failures[0].reason}"
        return Trial(number, values, "failed", None, None, scores, steps, runs, reason)
    state = "complete" if len(scores) == rungs else "stopped"
    found = [run.score for run in runs if run.score is not None]
    std = statistics.stdev(found) if len(found) > 1 else None
    return Trial(number, values, state, scores[-1][1], std, scores, steps, runs)


def _mean(runs: Sequence[Outcome]) -> float:
    return statistics.fmean(run.score for run in runs if run.score is not None)


def best_of(trials: Sequence[Trial], maximise: bool) -> Trial | None:
    """The complete trial with the best score; of equal ones the first."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.score is not None]
    return (max if maximise else min)(complete, key=lambda trial: trial.score or 0.0, default=None)
