"""Every method against one of them, over the same splits: a table and a plot."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chimeramix.errors import UserError
from chimeramix.files import save_figure
from chimeramix.report.paired import Comparison, paired
from chimeramix.report.plots import file_name
from chimeramix.report.results import Result
from chimeramix.report.store import epochs_of
from chimeramix.report.tables import ABSENT, DEPENDENT, difference_cells, draws_name, legends, spread
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Against:
    """The methods of one data set beside one of them.

    Attributes:
        reference: the method that the others are compared with.
        results: by method and number of samples, the reference's included; a method of another model is named with it.
        comparisons: the same for those that share a draw with the reference at that number.
    """

    dataset: str
    part: str
    reference: str
    results: dict[str, dict[int | None, Result]]
    comparisons: dict[str, dict[int | None, Comparison]]

    @property
    def sizes(self) -> list[int | None]:
        found = {size for row in self.results.values() for size in row}
        return sorted(found, key=size_order)

    @property
    def rows(self) -> list[str]:
        """The methods in the order of their difference at the largest number of samples that has one."""

        def key(method: str) -> tuple[float, str]:
            of_sizes = self.comparisons.get(method, {})
            last = [of_sizes[size].difference for size in self.sizes if size in of_sizes]
            return (last[-1] if last else 0.0), method

        return sorted(self.results, key=key)


def compare_all(results: list[Result], reference: str) -> list[Against]:
    """Compares all methods of each data set, of whichever model, with one of them.

    Args:
        reference: a method as the table names it; with `, MODEL` behind it where several models have it.

    Raises:
        UserError: where no data set has that method, or one has it with several models, or nothing shares its splits.
    """
    groups: dict[tuple[str, str, str | None], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.dataset, result.part, result.held_out].append(result)
    found = []
    for (dataset, part, _), group in groups.items():
        named = {(each.method, each.model) for each in group if reference in (each.method, _with_model(each))}
        if len(named) > 1:
            method, model = min(named)
            raise UserError(
                f"--against: {reference!r} is in the tables of several models, "
                f"{', '.join(sorted(model for _, model in named))}; write '{method}, {model}'"
            )
        if named:
            found.append(_against(dataset, part, *named.pop(), group))
    if not found:
        names = "; ".join(sorted({result.method for result in results}))
        raise UserError(f"--against: {reference!r} is not in the table; its methods are: {names}")
    if not any(each.comparisons for each in found):
        raise UserError(f"--against: no other method was trained on a split of {reference!r}")
    return found


def _with_model(result: Result) -> str:
    return f"{result.method}, {result.model}"


def _against(dataset: str, part: str, reference: str, model: str, group: Iterable[Result]) -> Against:
    rows: dict[str, dict[int | None, Result]] = defaultdict(dict)
    for result in group:
        name = result.method if result.model == model else _with_model(result)
        rows[name][result.samples_per_class] = result
    comparisons: dict[str, dict[int | None, Comparison]] = defaultdict(dict)
    for name, row in rows.items():
        for size, result in row.items():
            other = rows[reference].get(size)
            comparison = paired(result, other) if other is not None and name != reference else None
            if comparison is not None:
                comparisons[name][size] = comparison
    return Against(dataset, part, reference, dict(rows), dict(comparisons))


def against_table(against: Against, metric: str) -> Table:
    """A row per method; for each number of samples the metric, and the difference with its 95 % interval."""
    header, rows = ["method"], []
    for size in against.sizes:
        header += [size_name(size), "difference", "95 % interval"]
    most = max(len(result.runs) for row in against.results.values() for result in row.values())
    for method in against.rows:
        row = [Text(method)]
        for size in against.sizes:
            row += _cells(against.results[method].get(size), against.comparisons.get(method, {}).get(size), most)
        rows.append(row)
    all_comparisons = [each for row in against.comparisons.values() for each in row.values()]
    draws = draws_name(against.part)
    return Table(
        title=f"{against.dataset}: {against.part} {metric.replace('_', ' ')} in % by samples per class, and the "
        f"difference to {against.reference} in percentage points",
        header=header,
        rows=rows,
        caption=f"{epochs_of(metric)}, mean ± std over {most} {draws}; the difference is a mean over runs with the same"
        " seed and split, its interval Student's t; bold: it excludes 0, as about one interval in twenty does by chance"
        + (DEPENDENT if any(each.dependent for each in all_comparisons) else "")
        + (f"; [n]: of n {draws} only" if _any_fewer(against, all_comparisons, most) else ""),
        notes=legends([result for row in against.results.values() for result in row.values()]),
    )


def _cells(result: Result | None, comparison: Comparison | None, most: int) -> list[Text]:
    if result is None:
        return [Text(ABSENT)] * 3
    runs = len(result.runs)
    cells = [Text(spread(result.mean, result.std) + (f" [{runs}]" if runs < most else ""))]
    if comparison is None:
        return [*cells, Text(""), Text("")]
    difference, interval = difference_cells(comparison.difference, comparison.half_width)
    fewer = f" [{comparison.pairs}]" if comparison.pairs < runs else ""
    return [*cells, Text(difference.text + fewer, difference.bold), interval]


def _any_fewer(against: Against, comparisons: Iterable[Comparison], most: int) -> bool:
    runs = [len(result.runs) for row in against.results.values() for result in row.values()]
    return min(runs) < most or any(each.pairs < len(each.first.runs) for each in comparisons)


def draw_against(against: Against, folder: Path, metric: str) -> list[Path]:
    """The differences with their intervals as points with bars, a panel for each number of samples.

    Returns:
        The files, PNG and SVG.

    Raises:
        UserError: where there can't be such a folder.
        RunFailure: where a file can't be written.
    """
    name = file_name(f"{against.dataset}-against-{against.reference}")
    name += "-validation" if against.part == "validation" else ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return save_figure(_figure(against, metric), folder / f"{name}-{metric}")
    except OSError as error:
        raise UserError(f"--plots: {folder} can't be written ({error.strerror})") from error


def _figure(against: Against, metric: str) -> "Figure":
    from matplotlib.figure import Figure  # without pyplot: no display is needed

    methods = [method for method in against.rows if method in against.comparisons]
    sizes = [size for size in against.sizes if any(size in row for row in against.comparisons.values())]
    figure = Figure(figsize=(2.5 + 3.2 * len(sizes), 1.4 + 0.24 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for panel, size in zip(panels, sizes, strict=True):
        for place, method in enumerate(methods):
            comparison = against.comparisons[method].get(size)
            if comparison is None:
                continue
            width = comparison.half_width or 0.0
            clear = abs(comparison.difference) > width > 0
            color = "C0" if clear else "0.55"
            panel.errorbar(comparison.difference, place, xerr=width, fmt="o", ms=4, capsize=2.5, color=color)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_title(f"{size_name(size)} samples per class", fontsize=9)
        panel.set_xlabel("percentage points", fontsize=8)
    panels[0].set_yticks(range(len(methods)), labels=methods, fontsize=8, parse_math=False)
    title = f"{against.dataset}: {against.part} {metric.replace('_', ' ')}, difference to {against.reference}"
    figure.suptitle(f"{title} (95 % intervals)", fontsize=10, parse_math=False)
    return figure
