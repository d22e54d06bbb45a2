"""What the runs of a report predicted: which are on the same split, and what is missing or damaged."""

import dataclasses
from pathlib import Path

from chimeramix.errors import UserError
from chimeramix.report.results import Result
from chimeramix.report.store import Draw, FinishedRun
from chimeramix.runs.predictions import Predictions, read_predictions
from chimeramix.runs.record import DamagedRecord
from chimeramix.terminal import Table, counted


class Reader:
    """Reads predictions for an option of the report, and counts the runs that have none.

    Args:
        option: for messages.
        damaged: gets a line for each file that can't be used.
    """

    def __init__(self, option: str, damaged: dict[Path, str]) -> None:
        self._option = option
        self._damaged = damaged
        self._missing: set[Path] = set()
        self._found = False

    def __call__(self, run: FinishedRun, like: Predictions | None = None) -> Predictions | None:
        """None for a run whose predictions are missing or damaged.

        Args:
            like: predictions of the same split, whose images these must be, too.
        """
        try:
            found = read_predictions(run.folder, run.record)
        except DamagedRecord as error:
            self._damaged[run.folder] = str(error)
            return None
        if found is None:
            self._missing.add(run.folder)
        elif like is not None and not found.same_images(like):
            self._damaged[run.folder] = f"{found.path} holds other images than {like.path}, though of the same split"
            return None
        else:
            self._found = True
        return found

    def noted(self, tables: list[Table]) -> list[Table]:
        """The tables; the last one says how many runs have no predictions, if there are such."""
        if not self._missing:
            return tables
        left_out = counted(len(self._missing), "run")
        note = f"{left_out} left out: no predictions.npz (copied without, or of earlier versions)"
        return [*tables[:-1], dataclasses.replace(tables[-1], notes=[*tables[-1].notes, note])]

    def nothing(self, otherwise: str) -> UserError:
        """The error for an option that has nothing to show; without any predictions that is why."""
        if self._found or not (self._missing or self._damaged):
            return UserError(f"{self._option}: {otherwise}")
        why = next(
            iter(self._damaged.values()), "copied without, or of earlier versions; rerun=true trains a run again"
        )
        return UserError(f"{self._option}: no run has predictions.npz ({why})")


def by_split(result: Result) -> dict[Draw, list[FinishedRun]]:
    """The runs of a result by the images that they learn from and are evaluated on: a draw without the seed, nor the
    split seed where nothing is drawn with it."""
    groups: dict[Draw, list[FinishedRun]] = {}
    for draw, run in sorted(result.runs.items()):
        drawn = draw.split < 0 and not (result.samples_per_class is None and result.part == "test")
        split = draw._replace(seed=0) if drawn else draw._replace(seed=0, split_seed=0)
        groups.setdefault(split, []).append(run)
    return groups
