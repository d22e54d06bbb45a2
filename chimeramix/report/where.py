"""Which runs a report is about: `--where KEY=VALUE`."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from chimeramix.errors import UserError
from chimeramix.report.labels import config_of, flat, show_value
from chimeramix.report.results import summarise
from chimeramix.report.store import FinishedRun, Store

MISSING = object()
_MOST_VALUES = 10  # listed where none is the one asked for


def choose(store: Store, conditions: Sequence[str]) -> Store:
    """The runs of a store that meet all conditions.

    A key is one of the configuration (`optimizer.lr`, `mixer.alpha`, `dataset.root`, `machine.precision`), of the
    trained generator's (`generator.optimizer.lr`) or of `result.json` (`model`, `test.accuracy`); `part` is `test` or
    `validation`; `dataset` and `method` may also be as the table without conditions prints them. Values are typed as on
    the command line, so that 0.1 is 0.10; of a list `5,10` any will do.

    Raises:
        UserError: for a key that no run has, and for a value that none has.
    """
    if not conditions:
        return store
    from chimeramix.config.values import read_condition  # Hydra takes longer to load than a report takes

    look_up = Lookup(store)
    runs = store.runs
    for word in conditions:
        key, wanted = read_condition(word)
        printed = _printed(store, key)
        found = [(run, [look_up(run, key), printed.get(run.folder, MISSING)]) for run in runs]
        chosen = [run for run, values in found if any(_same(value, each) for value in values for each in wanted)]
        if not chosen:
            there = [value for _, values in found for value in values]
            raise UserError(f"--where {word}: {look_up.why_none(key, there)}")
        runs = chosen
    return dataclasses.replace(store, runs=runs)


def _printed(store: Store, key: str) -> dict[Path, str]:
    """What tables show for a key, by a run's folder."""
    if key not in ("dataset", "method"):
        return {}
    return {run.folder: getattr(result, key) for result in summarise(store) for run in result.runs.values()}


class Lookup:
    """Values of runs by key; `MISSING` where a run has no such key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = {identity: dict(flat(settings)) for identity, settings in store.settings.items()}
        # Only where a key is in no record: these files take longer to read than all others.
        self._config: Callable[[Path], dict[str, Any]] = cache(lambda folder: dict(flat(config_of(folder))))

    def __call__(self, run: FinishedRun, key: str) -> Any:
        for place in (_own(run), dict(flat(run.record)), self._settings[run.settings]):
            if key in place:
                return place[key]
        group = key.split(".")[0]
        # A group that counts for the identity is there in full, but for where its images lie.
        if group in self._store.settings[run.settings] and group != "machine" and key != "dataset.root":
            return MISSING
        return self._config(run.folder).get(key, _defaults().get(key, MISSING))

    def why_none(self, key: str, values: list[Any]) -> str:
        """Why no run has the value that was asked for; `values` are those that they have."""
        there = sorted({show_value(value) for value in values if value is not MISSING})
        if there:
            more = ", ..." if len(there) > _MOST_VALUES else ""
            return f"no run has this value; there are {', '.join(there[:_MOST_VALUES])}{more}"
        from chimeramix.config.checks import did_you_mean

        run = self._store.runs[0]
        keys = {known for each in (*self._settings.values(), self._config(run.folder), _defaults()) for known in each}
        keys |= {*_own(run), *dict(flat(run.record))}
        below = sorted(known for known in keys if known.startswith(f"{key}."))
        if below:
            return f"{key} is a group of keys; choose by one of them: {', '.join(below[:_MOST_VALUES])}"
        if key in keys:
            return f"none of the runs that are left has the key {key}"
        return f"unknown key {key}{did_you_mean(key, sorted(keys))}"


@cache
def _defaults() -> dict[str, Any]:
    """Of keys that a version before them did not write into `config.yaml`."""
    from chimeramix.config.schema import Config

    values = dataclasses.asdict(Config())
    return {key: value for key, value in flat(values) if key.split(".")[0] not in ("recipe", "dataset")}


def _own(run: FinishedRun) -> dict[str, Any]:
    """What tells it apart from other runs of its result, by the keys that decide it."""
    draw = {"split.number": run.draw.split, "validation.fold": run.draw.fold, "validation.seed": run.draw.cut_seed}
    return {"part": run.part, **{key: None if value < 0 else value for key, value in draw.items()}}


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    # True is 1 to Python, but not on the command line.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
