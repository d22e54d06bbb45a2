"""Averaged weights and views against the plain ones, over the same trainings."""

import statistics

from chimeramix.errors import UserError
from chimeramix.report.paired import dependent, half_width
from chimeramix.report.results import Result
from chimeramix.report.tables import ABSENT, DEPENDENT, difference_cells, draws_name, legends, mean_and_std
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

PLAIN = "plain"
"""The last step's weights, each image as it is."""


def variants_tables(results: list[Result], metric: str) -> list[Table]:
    """A table for each part that runs were evaluated on, with a row per variant that the runs of a result measured.

    Raises:
        UserError: where no run measured several.
    """
    measures = ["mean ± std", "− plain", "95 % interval"]
    tables = []
    for part in dict.fromkeys(result.part for result in results):
        measured = [result for result in results if result.part == part and _names(result)]
        rows = [row for result in measured for row in _rows(result, metric)]
        if rows:
            tables.append(
                Table(
                    title=f"Weights and views, {part} {metric.replace('_', ' ')} in %",
                    header=["data set", "model", "method", "per class", "variant", draws_name(part), *measures],
                    rows=rows,
                    caption="difference to the plain weights and views of the same runs, in percentage points, with "
                    "Student's t interval; bold: it excludes 0"
                    + (DEPENDENT if any(dependent(each.samples_per_class, each.runs) for each in measured) else ""),
                    notes=legends(measured),
                    left=3,
                )
            )
    if not tables:
        raise UserError("--variants: no run measured several; average=ema and evaluation.views=flip make runs do so")
    return tables


def _names(result: Result) -> list[str]:
    """The variants that all runs of a result have."""
    first, *others = (run.record.get("variants", {}) for run in result.runs.values())
    return [name for name in first if all(name in variants for variants in others)]


def _rows(result: Result, metric: str) -> list[list[Text]]:
    variants = [run.record["variants"] for run in result.runs.values()]
    rows = []
    for name in _names(result):
        scores, plain = ([100 * each[kind][metric] for each in variants] for kind in (name, PLAIN))
        rows.append(
            [
                Text(result.dataset),
                Text(result.model),
                Text(result.plain_method),  # the column beside it says which weights and views
                Text(size_name(result.samples_per_class)),
                Text(name),
                Text(str(len(scores))),
                Text(mean_and_std(scores)),
                *_difference([one - other for one, other in zip(scores, plain, strict=True)], name),
            ]
        )
    return rows


def _difference(differences: list[float], name: str) -> list[Text]:
    if name == PLAIN:
        return [Text(ABSENT), Text(ABSENT)]
    return difference_cells(statistics.fmean(differences), half_width(differences))
