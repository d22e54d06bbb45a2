"""Ensembles of several methods, a run of each on the same labelled images."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from chimeramix.errors import UserError
from chimeramix.report.ensembles import scores_of
from chimeramix.report.paired import dependent, half_width
from chimeramix.report.predicted import Reader
from chimeramix.report.results import Result, called, full_name
from chimeramix.report.store import Draw
from chimeramix.report.tables import DEPENDENT, difference_cells, legends, mean_and_std
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

OPTION = "--ensemble-of"


def mixed_ensemble_tables(
    results: Sequence[Result], methods: Sequence[str], metric: str, damaged: dict[Path, str]
) -> list[Table]:
    """A table for each data set and part; a row per number of samples and member.

    Args:
        methods: two or more, named as `full_name` reads them.
        damaged: gets a line for each run whose predictions can't be used.

    Raises:
        UserError: for a name that is not in the table or not clear, and where no split was used by all of them.
    """
    given = " ".join(methods)
    methods = list(dict.fromkeys(full_name(results, name, OPTION) for name in methods))
    if len(methods) < 2:
        raise UserError(f"{OPTION} {given}: an ensemble needs two methods or more")
    groups: dict[tuple[str, str, int | None], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.dataset, result.part, result.samples_per_class].append(result)
    reader = Reader(OPTION, damaged)
    rows: dict[tuple[str, str], list[list[Text]]] = defaultdict(list)
    members: dict[tuple[str, str], list[Result]] = defaultdict(list)
    shared = False
    for dataset, part, size in sorted(groups, key=lambda key: (*key[:2], size_order(key[2]))):
        found = [called(groups[dataset, part, size], name, OPTION) for name in methods]
        if all(found):
            chosen = [each for (each,) in found]
            rows[dataset, part] += _rows(chosen, metric, reader)
            members[dataset, part] += chosen
            shared |= dependent(size, set.intersection(*(set(each.runs) for each in chosen)))
    tables = [
        Table(
            title=f"{dataset}: ensemble of {', '.join(methods)}, {part} {metric.replace('_', ' ')} in %",
            header=["member", "per class", "runs", "alone", "ensemble", "gain", "95 % interval"],
            rows=found_rows,
            caption="mean of the members' probabilities, for each seed and split that all of them have; mean ± std "
            "over these, gain paired with Student's t interval, bold: it excludes 0" + (DEPENDENT if shared else ""),
            notes=legends(members[dataset, part]),
        )
        for (dataset, part), found_rows in rows.items()
        if found_rows
    ]
    if not tables:
        raise reader.nothing("no seed and split was used by all of these methods")
    return reader.noted(tables)


def put_together(members: Sequence[Result], metric: str, reader: Reader) -> dict[Draw, tuple[list[float], float]]:
    """For each draw of which all members have predictions: each member's metric and their ensemble's, in percent."""
    found = {}
    for draw in sorted(set.intersection(*(set(result.runs) for result in members))):
        scores = scores_of([result.runs[draw] for result in members], metric, reader)
        if scores is not None and len(scores[0]) == len(members):
            found[draw] = scores
    return found


def _rows(members: Sequence[Result], metric: str, reader: Reader) -> list[list[Text]]:
    found = put_together(members, metric, reader).values()
    if not found:
        return []
    together = [score for _, score in found]
    rows = []
    for result, own in zip(members, zip(*(alone for alone, _ in found), strict=True), strict=True):
        gains = [all_of_them - one for all_of_them, one in zip(together, own, strict=True)]
        rows.append(
            [
                Text(result.method),
                Text(size_name(result.samples_per_class)),
                Text(str(len(gains))),
                Text(mean_and_std(own)),
                Text(mean_and_std(together)),
                *difference_cells(statistics.fmean(gains), half_width(gains)),
            ]
        )
    return rows
