"""The report's tables, without regard to how they are printed."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from chimeramix.report.paired import Comparison
from chimeramix.report.papers import Figures, PaperFigure
from chimeramix.report.results import Result, by_table, is_best
from chimeramix.report.store import epochs_of
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

ABSENT = "–"
DEPENDENT = "; too narrow: seeds and folds of one split share their images"
UNEQUAL = "†"  # marks what was trained for another number of steps


def results_tables(results: list[Result], metric: str) -> list[Table]:
    """A table for each data set and model: a row per method, a column per number of samples, in the order of the
    first column.

    The best of a column is bold; cells without a run, those with fewer seeds than others, and those with another number
    of steps than more than half of their column, are marked.
    """
    return [_results_table(*table, group, metric) for table, group in by_table(results).items()]


def _results_table(dataset: str, model: str, part: str, results: list[Result], metric: str) -> Table:
    sizes = sorted({result.samples_per_class for result in results}, key=size_order)
    cells = {(result.method, result.samples_per_class): result for result in results}
    most = max(len(result.runs) for result in results)
    rows = []
    marked = {place for size in sizes for place in _unequal({at: each for at, each in cells.items() if at[1] == size})}
    for method in in_order(cells):
        row = [Text(method)]
        for size in sizes:
            result = cells.get((method, size))
            if result is None:
                row.append(Text(ABSENT))
            else:
                fewer = f" [{len(result.runs)}]" if len(result.runs) < most else ""
                mark = f" {UNEQUAL}" if (method, size) in marked else ""
                row.append(Text(spread(result.mean, result.std) + fewer + mark, is_best(result, results)))
        rows.append(row)
    draws = draws_name(part)
    over = f"1 {draws[:-1]}" if most == 1 else f"mean ± std over {most} {draws}"
    fewer = f"; [n]: of n {draws} only" if any(len(result.runs) < most for result in results) else ""
    steps = f"; {UNEQUAL}: other number of steps than most of this column: --effort" if marked else ""
    absent = f"; {ABSENT}: no run" if len(cells) < len(rows) * len(sizes) else ""
    return Table(
        title=f"{dataset}, {model}: {part} {metric.replace('_', ' ')} in % by samples per class",
        header=["method", *(size_name(size) for size in sizes)],
        rows=rows,
        caption=f"{epochs_of(metric)}, {over}{fewer}{steps}{absent}",
        notes=[*held_out_notes(results), *legends(results)],
    )


def in_order(cells: Mapping[tuple[str, int | None], Result]) -> list[str]:
    """The methods from the worst to the best at the smallest number of samples, those without a run there first.

    Args:
        cells: results by method and number of samples.
    """
    sizes = sorted({size for _, size in cells}, key=size_order)
    means = {place: result.mean for place, result in cells.items()}
    methods = {method for method, _ in cells}
    return sorted(methods, key=lambda name: (*(means.get((name, size), 0.0) for size in sizes), name))


def held_out_notes(results: list[Result]) -> list[str]:
    """What was held out for a table's figures: for most of them, and for each of the others."""
    found = Counter(result.held_out for result in results if result.held_out is not None).most_common()
    lines = [f"held out: {how}" for how, _ in found[:1]]
    for how, _ in found[1:]:
        names = sorted(name_of(result) for result in results if result.held_out == how)
        lines.append(f"held out for {', '.join(names)}: {how}")
    return lines


def name_of(result: Result) -> str:
    """A method and its column: `MixUp at 5`."""
    return f"{result.method} at {size_name(result.samples_per_class)}"


def _unequal(column: dict[tuple[str, int | None], Result]) -> list[tuple[str, int | None]]:
    """The cells of a column whose number of steps is not that of more than half of them: all, if there is no such."""
    counts = Counter(map(steps_of, column.values()))
    return [place for place, result in column.items() if 2 * counts[steps_of(result)] <= len(column)]


def steps_of(result: Result) -> tuple[int, ...]:
    """The classifier's numbers of steps, from least to most: one, unless folds differ in size."""
    return tuple(sorted({run.record["steps"] for run in result.runs.values()}))


def draws_name(part: str) -> str:
    """What a result's runs differ in, in words: seeds, or with held-out images runs of several folds and seeds."""
    return "seeds" if part == "test" else "runs"


def legends(results: list[Result]) -> list[str]:
    """What abbreviated names stand for, each once."""
    labels = [*(result.data_set for result in results), *(result.variant for result in results)]
    return sorted({line for label in labels for line in label.legend})


def papers_table(results: list[Result], figures: Figures) -> Table | None:
    """Our figures beside the papers' of the same data set, model, method and number; None without any."""
    rows = []
    for result in results:
        figure = figure_of(result, figures)
        if figure is None:
            continue
        inside = is_inside(result, figure)
        rows.append(
            [
                Text(result.dataset),
                Text(result.model),
                Text(result.method),
                Text(size_name(result.samples_per_class)),
                Text(spread(result.mean, result.std)),
                Text(spread(figure.mean, figure.std)),
                Text(f"{result.mean - figure.mean:+.2f}"),
                Text({True: "yes", False: "no", None: ABSENT}[inside]),
                Text(figure.source + (f" ({figure.note})" if figure.note else "")),
            ]
        )
    if not rows:
        return None
    header = ["data set", "model", "method", "per class", "ours", "paper", "difference", "inside", "source"]
    caption = "inside: our mean is within one standard deviation of the paper's, where it gives one"
    return Table("Against the papers, accuracy in %", header, rows, caption, left=3)


def figure_of(result: Result, figures: Figures) -> PaperFigure | None:
    return figures.get(result.published) if result.part == "test" else None


def is_inside(result: Result, figure: PaperFigure) -> bool | None:
    """Whether our mean is within one standard deviation of the paper's; None where it gives no deviation."""
    return None if figure.std is None else abs(result.mean - figure.mean) <= figure.std


def comparison_table(comparisons: list[Comparison]) -> Table:
    """One row per data set, model and number of samples; bold where the interval excludes 0."""
    held_out = any(each.first.part == "validation" for each in comparisons)
    rows = [
        [
            Text(each.first.dataset),
            Text(each.first.model),
            *([Text(each.first.part)] if held_out else []),
            Text(size_name(each.first.samples_per_class)),
            *difference_cells(each.difference, each.half_width),
            Text(str(each.pairs)),
        ]
        for each in comparisons
    ]
    return Table(
        title=f"{comparisons[0].first.method} − {comparisons[0].second.method}, in percentage points",
        header=[
            *("data set", "model", *(["images"] if held_out else [])),
            *("per class", "difference", "95 % interval", "pairs"),
        ],
        rows=rows,
        caption="mean over runs with the same seed and split, Student's t interval; bold: it excludes 0"
        + (DEPENDENT if any(each.dependent for each in comparisons) else "")
        + _other_steps(comparisons),
        left=2 + held_out,
    )


def _other_steps(comparisons: list[Comparison]) -> str:
    """Where the two were trained for different numbers of steps."""
    unequal = [each for each in comparisons if steps_of(each.first) != steps_of(each.second)]
    if not unequal:
        return ""
    where = "" if len(comparisons) == 1 else f" at {', '.join(size_name(e.first.samples_per_class) for e in unequal)}"
    steps = [f"{span(steps_of(each.first))} and {span(steps_of(each.second))}" for each in unequal]
    return f"; they differ in steps{where}, {'; '.join(dict.fromkeys(steps))}: --effort"


def difference_cells(difference: float, half_width: float | None) -> list[Text]:
    """A difference, bold where its interval excludes 0, and that interval: `+1.00` and `[+0.10, +1.90]`."""
    if half_width is None:
        return [Text(f"{difference:+.2f}"), Text(ABSENT)]
    low, high = (difference + sign * half_width for sign in (-1, 1))
    return [Text(f"{difference:+.2f}", abs(difference) > half_width), Text(f"[{low:+.2f}, {high:+.2f}]")]


def mean_and_std(values: Sequence[float], digits: int = 2) -> str:
    """As `spread` has it, of a few values."""
    return spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, digits)


def spread(mean: float, std: float | None, digits: int = 2) -> str:
    """`31.37 ± 3.28`."""
    return f"{mean:.{digits}f}" if std is None else f"{mean:.{digits}f} ± {std:.{digits}f}"


def span(counts: Sequence[int]) -> str:
    """`1,000`, or `900 to 1,000`."""
    if not counts:
        return ABSENT
    least, most = min(counts), max(counts)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"
