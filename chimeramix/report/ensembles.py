"""Ensembles of the seeds that a method was trained with on the same labelled images.

An ensemble predicts the mean probability of its members. Runs on different splits form none: each has seen other
labelled images, so that together they have used more labels than the number of their column.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chimeramix.report.paired import dependent, half_width
from chimeramix.report.predicted import Reader, by_split
from chimeramix.report.results import Result, by_table
from chimeramix.report.scores import METRIC_OF, log_probabilities
from chimeramix.report.store import Draw, FinishedRun
from chimeramix.report.tables import DEPENDENT, difference_cells, legends, mean_and_std, name_of
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text, counted

OPTION = "--ensemble"


@dataclass(frozen=True)
class Ensembles:
    """The ensembles of a result, one for each split with two members or more.

    Attributes:
        splits: of each, the draw without the seeds.
        members: of each.
        alone: mean over the members of each, in percent.
        together: the ensemble's own, in percent.
        single: runs without a second one on their split.
    """

    splits: list[Draw]
    members: list[int]
    alone: list[float]
    together: list[float]
    single: int


def ensemble_tables(results: list[Result], metric: str, damaged: dict[Path, str]) -> list[Table]:
    """A table for each data set, model and part; a row per method and number of samples.

    Raises:
        UserError: where no ensemble can be formed.
    """
    tables, reader = [], Reader(OPTION, damaged)
    for (dataset, model, part), group in by_table(results).items():
        found = {name_of(result): (result, _ensembles(result, metric, reader)) for result in group}
        rows = [_row(result, ensembles) for result, ensembles in found.values() if ensembles.together]
        if not rows:
            continue
        single = [f"{name} ({counted(each.single, 'run')})" for name, (_, each) in found.items() if each.single]
        note = f"alone on their split, so in no ensemble: {'; '.join(single)}"
        shared = any(dependent(result.samples_per_class, each.splits) for result, each in found.values())
        splits = "splits" if part == "test" else "splits and folds"
        tables.append(
            Table(
                title=f"{dataset}, {model}: ensembles of seeds on one split, {part} {metric.replace('_', ' ')} in %",
                header=[
                    "method",
                    "per class",
                    "members",
                    "splits",
                    "members' mean",
                    "ensemble",
                    "gain",
                    "95 % interval",
                ],
                rows=rows,
                caption=f"mean of the members' probabilities; mean ± std over {splits}, gain paired by split with "
                "Student's t interval, bold: it excludes 0; none is formed across splits: it would use more labels "
                "than each member" + (DEPENDENT if shared else ""),
                notes=[*legends(group), *([note] if single else [])],
            )
        )
    if not tables:
        raise reader.nothing(
            "no two runs differ in their seed only; train several on one split with seed=0,1,2 split_seed=0 (runs on "
            "different splits form no ensemble: it would use more labels than each member)"
        )
    return reader.noted(tables)


def _ensembles(result: Result, metric: str, reader: Reader) -> Ensembles:
    found = Ensembles([], [], [], [], 0)
    single = 0
    for split, runs in by_split(result).items():
        if len(runs) < 2:
            single += 1
            continue
        scores = scores_of(runs, metric, reader)
        if scores is None:
            continue
        members, together = scores
        found.splits.append(split)
        found.members.append(len(members))
        found.alone.append(statistics.fmean(members))
        found.together.append(together)
    return Ensembles(found.splits, found.members, found.alone, found.together, single)


def scores_of(runs: Sequence[FinishedRun], metric: str, reader: Reader) -> tuple[list[float], float] | None:
    """Each member's metric and their ensemble's, in percent; None where fewer than two have predictions."""
    measure = METRIC_OF[metric]
    first, total, scores = None, None, []
    for run in runs:
        predictions = reader(run, first)
        if predictions is None:
            continue
        first = first or predictions
        probabilities = np.exp(log_probabilities(predictions.logits))
        total = probabilities if total is None else total + probabilities
        scores.append(100 * measure(predictions.logits, predictions.labels))
    if first is None or total is None or len(scores) < 2:
        return None
    return scores, 100 * measure(total, first.labels)


def _row(result: Result, found: Ensembles) -> list[Text]:
    gains = [together - alone for together, alone in zip(found.together, found.alone, strict=True)]
    gain, half = statistics.fmean(gains), half_width(gains)
    least, most = min(found.members), max(found.members)
    return [
        Text(result.method),
        Text(size_name(result.samples_per_class)),
        Text(str(most) if least == most else f"{least} to {most}"),
        Text(str(len(gains))),
        Text(mean_and_std(found.alone)),
        Text(mean_and_std(found.together)),
        *difference_cells(gain, half),
    ]
