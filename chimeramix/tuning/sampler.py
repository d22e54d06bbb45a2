"""Which values a study tries next, and its copy in Optuna's own storage. The one file that knows Optuna.

Tree-structured Parzen estimators (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; Watanabe 2023,
arXiv 2304.11127), over all keys together. A generation's trials are asked for at once: what is not known yet of its
others is taken as poor ("constant liar"), so that they differ. The sampler is made anew for each generation, from the
trials that have ended and a seed of its own: nothing of it has to be kept.
"""

import hashlib
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chimeramix.config.search import Axis
from chimeramix.errors import RunFailure
from chimeramix.files import write_atomically
from chimeramix.tuning.trials import Trial, Values

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_STARTUP = 10  # trials drawn at random before anything is learnt from them; Optuna's default
_TRIES = 20  # to draw values that are new, of few choices
_FEWEST = 8  # complete trials of which the keys' importance says anything


def check_installed() -> str:
    """Optuna's version. Raises `RunFailure` where it is not installed."""
    try:
        with _quiet():
            import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise RunFailure('optuna is not installed; chimeramix tune needs it: pip install "chimeramix[tune]"') from error
    return str(optuna.__version__)


def ask(
    axes: Sequence[Axis],
    trials: Sequence[Trial],
    count: int,
    seed: int,
    maximise: bool,
    own: Values | None = None,
) -> list[Values]:
    """The values of the next generation's trials; none that were tried before, as long as others turn up.

    Args:
        trials: all of the earlier generations, in their order.
        seed: of the study; each generation has one of its own.
        own: a trial of this generation whose values are known without asking.
    """
    with _quiet():
        import optuna

        digest = hashlib.sha256(f"{seed} {len(trials)}".encode()).digest()
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=_STARTUP, multivariate=True, constant_liar=True, seed=int.from_bytes(digest[:4], "big")
        )
        study = optuna.create_study(direction=_direction(maximise), sampler=sampler)
        study.add_trials([_frozen(axes, trial, failed_is_worst=True) for trial in trials])
        known = [trial.values for trial in trials] + ([own] if own else [])
        drawn: list[Values] = []
        for _ in range(count):
            for _ in range(_TRIES):
                params = study.ask(_distributions(axes)).params
                values = {axis.key: axis.snap(params[axis.key]) for axis in axes}
                if values not in known:
                    break
            known.append(values)
            drawn.append(values)
    return drawn


def importances(axes: Sequence[Axis], trials: Sequence[Trial], maximise: bool) -> dict[str, float]:
    """How much each key decides whether a trial is among the better ones, shares of 1, most important first: PED-ANOVA
    (Watanabe et al. 2023, arXiv 2304.10255) of the complete trials. Empty where those are too few."""
    if sum(trial.state == "complete" for trial in trials) < _FEWEST:
        return {}
    with _quiet():
        import optuna

        study = optuna.create_study(direction=_direction(maximise))
        study.add_trials([_frozen(axes, trial) for trial in trials])
        # Of the better quarter: the default, a tenth, would be two of twenty.
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return {
            key: float(share)
            for key, share in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
        }


def write_journal(path: Path, name: str, axes: Sequence[Axis], trials: Sequence[Trial], maximise: bool) -> None:
    """Brings Optuna's journal up to date: the trials that it lacks are added to a copy, which takes its place. One that
    can't be read, or that says something else, is written anew. Raises `RunFailure` where it can't be written."""
    with _quiet():
        write_atomically(path, lambda copy: _extend(path, copy, name, axes, trials, maximise))


def _extend(path: Path, copy: Path, name: str, axes: Sequence[Axis], trials: Sequence[Trial], maximise: bool) -> None:
    frozen = [_frozen(axes, trial) for trial in trials]
    for leftover in (copy, copy.with_name(f"{copy.name}.lock")):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    if path.exists():
        shutil.copyfile(path, copy)
        try:
            study = _open(copy, name, maximise)
            there = study.trials
            known = [(trial.state, trial.params) for trial in there] == [
                (trial.state, trial.params) for trial in frozen[: len(there)]
            ]
        except (ValueError, KeyError, TypeError, IndexError, AssertionError):  # a damaged journal
            known = False
        if known:
            study.add_trials(frozen[len(there) :])
            return
        copy.unlink()
    _open(copy, name, maximise).add_trials(frozen)


def _open(path: Path, name: str, maximise: bool) -> "Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(storage=storage, study_name=name, direction=_direction(maximise), load_if_exists=True)


def _direction(maximise: bool) -> Literal["maximize", "minimize"]:
    return "maximize" if maximise else "minimize"


def _distributions(axes: Sequence[Axis]) -> "dict[str, BaseDistribution]":
    return {axis.key: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.kind == "choice":
        return CategoricalDistribution(axis.choices)
    if axis.kind == "int":
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _frozen(axes: Sequence[Axis], trial: Trial, failed_is_worst: bool = False) -> "FrozenTrial":
    """A trial as Optuna has it.

    Args:
        failed_is_worst: a failed trial is one that was stopped before its first score: Optuna's samplers take no notice
            of those that failed, and would go on where trainings diverge.
    """
    from optuna.trial import TrialState, create_trial

    states = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    state, scores = states[trial.state], dict(trial.rungs)
    if failed_is_worst and trial.state == "failed":
        state, scores = TrialState.PRUNED, {}
    notes: dict[str, Any] = {"runs": [run.identity for run in trial.runs], "steps": trial.steps}
    if trial.std is not None:
        notes["std"] = trial.std
    if trial.reason is not None:
        notes["reason"] = trial.reason
    return create_trial(
        state=state,
        value=trial.score if trial.state == "complete" else None,
        params=dict(trial.values),
        distributions=_distributions(axes),
        intermediate_values=scores,
        user_attrs=notes,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna logs each trial, and calls parts of itself experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
