"""Where two methods differ on the same images: McNemar's test for each pair of runs, and classes.

McNemar's exact test (McNemar 1947) takes the images that one of two trained networks gets right and the other wrong: if
neither is better, each is as likely to be the one that is right. Folds of one split hold out different images, which
are counted together. Runs on other splits, or with other seeds, answer the same test images once more: their p-values
are not independent, so none is made of them all. How far two methods, not two networks, differ is what the interval
over splits says (`paired`).
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chimeramix.report.paired import Comparison, dependent, half_width
from chimeramix.report.predicted import Reader
from chimeramix.report.scores import class_accuracies
from chimeramix.report.store import Draw
from chimeramix.report.tables import ABSENT, DEPENDENT, difference_cells
from chimeramix.runs.drawn import what_is_left
from chimeramix.runs.predictions import Predictions
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text, counted

Pairs = dict[Draw, tuple[Predictions, Predictions]]


def disagreement_tables(comparisons: Sequence[Comparison], per_class: bool, damaged: dict[Path, str]) -> list[Table]:
    """McNemar's tests of all comparisons, and with `per_class` a table for each comparison.

    Where no run has predictions, there is nothing for the first; the second is refused.

    Raises:
        UserError: for `per_class` without predictions.
    """
    reader = Reader("--per-class", damaged)
    found = [(each, _pairs(each, reader)) for each in comparisons]
    found = [(each, pairs) for each, pairs in found if pairs]
    if not found and per_class:
        raise reader.nothing("no two runs on the same split both have predictions.npz")
    if not found:
        return []
    tables = [_mcnemar_table(found)]
    if per_class:
        tables += [_class_table(each, pairs) for each, pairs in found]
    return reader.noted(tables)


def _pairs(comparison: Comparison, reader: Reader) -> Pairs:
    """The predictions of both methods where they have the same draw."""
    pairs = {}
    for draw in sorted(comparison.first.runs.keys() & comparison.second.runs.keys()):
        first = reader(comparison.first.runs[draw])
        second = reader(comparison.second.runs[draw], like=first)
        if first is not None and second is not None:
            pairs[draw] = first, second
    return pairs


@dataclass(frozen=True)
class McNemar:
    """Attributes:
    only_first: images that only the first gets right.
    p: of the exact two-sided test; 1 where no image is between them.
    """

    images: int
    only_first: int
    only_second: int
    p: float


def mcnemar(pairs: list[tuple[Predictions, Predictions]]) -> McNemar:
    """The test over the images of all pairs, which must be different ones."""
    from scipy.stats import binomtest  # not at the top: takes longer than the whole report

    only_first = sum(int((first.right & ~second.right).sum()) for first, second in pairs)
    only_second = sum(int((second.right & ~first.right).sum()) for first, second in pairs)
    between = only_first + only_second
    p = float(binomtest(only_first, between, 0.5).pvalue) if between else 1.0
    return McNemar(sum(len(first.labels) for first, _ in pairs), only_first, only_second, p)


def _mcnemar_table(found: list[tuple[Comparison, Pairs]]) -> Table:
    rows = []
    for each, pairs in found:
        together = defaultdict(list)
        for draw, pair in pairs.items():
            together[draw._replace(fold=-1)].append(pair)
        for draw, folds in together.items():
            test = mcnemar(folds)
            rows.append(
                [
                    Text(each.first.dataset),
                    Text(each.first.model),
                    Text(size_name(each.first.samples_per_class)),
                    Text(str(draw.seed)),
                    Text(_split_name(draw)),
                    Text(f"{test.images:,}"),
                    Text(f"{test.only_first:,}"),
                    Text(f"{test.only_second:,}"),
                    Text("< 0.0001" if test.p < 1e-4 else f"{test.p:.4f}", test.p < 0.05),
                ]
            )
    first, second = found[0][0].first.method, found[0][0].second.method
    header = ["data set", "model", "per class", "seed", "split", "images", f"only {first}", f"only {second}", "p"]
    return Table(
        title=f"{first} and {second} on the same images: how many only one of them gets right",
        header=header,
        rows=rows,
        caption="p: McNemar's exact two-sided test of these two networks, bold below 0.05; folds of a split are "
        "counted together; rows may share images, so their p-values are not independent, and not combined: how far the "
        "methods differ is what the interval above says",
        left=2,
    )


def _split_name(draw: Draw) -> str:
    """The published split's number, or the seed with which the labelled images were drawn; and which cut into folds."""
    name = str(draw.split_seed if draw.split < 0 else draw.split)
    return name if draw.cut_seed < 0 else f"{name}, cut {draw.cut_seed}"


def _class_table(comparison: Comparison, pairs: Pairs) -> Table:
    """A row per class: both accuracies, and their difference over the pairs of runs."""
    first, second = ([100 * _accuracies(pair[side]) for pair in pairs.values()] for side in (0, 1))
    names = _classes(comparison, len(first[0]))
    rows = []
    for label, name in enumerate(names):
        # A class may be without images among few held-out ones.
        values = [(a[label], b[label]) for a, b in zip(first, second, strict=True) if not np.isnan(a[label])]
        if not values:
            rows.append([Text(name), *(Text(ABSENT) for _ in range(4))])
            continue
        differences = [float(a - b) for a, b in values]
        mean, half = statistics.fmean(differences), half_width(differences)
        rows.append(
            [
                Text(name),
                *(Text(f"{statistics.fmean(side):.2f}") for side in zip(*values, strict=True)),
                *difference_cells(mean, half),
            ]
        )
    one, other = comparison.first, comparison.second
    size = size_name(one.samples_per_class)
    return Table(
        title=f"{one.dataset}, {one.model}, {size} per class: accuracy within each class in %",
        header=["class", one.method, other.method, "difference", "95 % interval"],
        rows=rows,
        caption=f"mean over {counted(len(pairs), 'pair')} of runs with the same seed and split, Student's t interval; "
        "bold: it excludes 0, as one in 20 does by chance"
        + (DEPENDENT if dependent(one.samples_per_class, pairs) else ""),
    )


def _accuracies(predictions: Predictions) -> Any:
    return class_accuracies(predictions.answers, predictions.labels, predictions.logits.shape[1])


def _classes(comparison: Comparison, count: int) -> list[str]:
    """Names of the classes, numbers where `split.json` lacks them."""
    folder = next(iter(comparison.first.runs.values())).folder
    drawn = what_is_left(folder)
    names = [] if drawn is None else drawn.classes
    return names if len(names) == count else [str(label) for label in range(count)]
