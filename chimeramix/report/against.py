"""Every method against one of them, over the same splits: a table and a plot."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chimeramix.errors import UserError
from chimeramix.files import save_figure
from chimeramix.report.paired import Comparison, paired
from chimeramix.report.plots import plot_name
from chimeramix.report.results import Result, called, full_name, with_model
from chimeramix.report.store import epochs_of
from chimeramix.report.tables import (
    ABSENT,
    DEPENDENT,
    UNEQUAL,
    difference_cells,
    draws_name,
    held_out_notes,
    in_order,
    legends,
    spread,
    steps_of,
)
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Against:
    """The methods of one data set beside one of them.

    Attributes:
        reference: the method that the others are compared with.
        model: the reference's.
        results: by method and number of samples, the reference's included; a method of another model is named with it.
        comparisons: the same for those that share a draw with the reference at that number.
    """

    dataset: str
    part: str
    reference: str
    model: str
    results: dict[tuple[str, int | None], Result]
    comparisons: dict[tuple[str, int | None], Comparison]

    @property
    def sizes(self) -> list[int | None]:
        return sorted({size for _, size in self.results}, key=size_order)


def compare_all(results: list[Result], reference: str) -> list[Against]:
    """Compares all methods of each data set, of whichever model, with one of them. Data sets in which nothing can be
    compared are named in the log.

    Args:
        reference: a method, named as `full_name` reads it.

    Raises:
        UserError: see `full_name`; where a data set has the method with several models, and where nothing shares its
            splits.
    """
    reference = full_name(results, reference, "--against")
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.dataset, result.part].append(result)
    found = []
    for (dataset, part), group in groups.items():
        named = called(group, reference, "--against")
        each = _against(dataset, part, named[0].method, named[0].model, group) if named else None
        if each is not None and each.comparisons:
            found.append(each)
        else:
            log.warning("left out: %s (%s), where nothing can be compared with %s", dataset, part, reference)
    if not found:
        raise UserError(f"--against: no other method was trained on a split of {reference!r}")
    return found


def _against(dataset: str, part: str, reference: str, model: str, group: Iterable[Result]) -> Against:
    same, others = ([each for each in group if (each.model == model) == wanted] for wanted in (True, False))
    results = {(each.method, each.samples_per_class): each for each in same}
    results |= {(with_model(each), each.samples_per_class): each for each in others}
    comparisons = {}
    for (name, size), result in results.items():
        other = results.get((reference, size))
        if name == reference or other is None or result.held_out != other.held_out:
            continue
        comparison = paired(result, other)
        if comparison is not None:
            comparisons[name, size] = comparison
    return Against(dataset, part, reference, model, results, comparisons)


def against_table(against: Against, metric: str) -> Table:
    """A row per method; for each number of samples the metric, and the difference with its 95 % interval."""
    header = ["method"]
    for size in against.sizes:
        header += [size_name(size), "difference", "95 % interval"]
    most = max(len(result.runs) for result in against.results.values())
    rows = [
        [Text(method), *(cell for size in against.sizes for cell in _cells(against, (method, size), most))]
        for method in in_order(against.results)
    ]
    results = list(against.results.values())
    several = len({result.model for result in results}) > 1
    return Table(
        title=f"{against.dataset}: {against.part} {metric.replace('_', ' ')} in % by samples per class, and the "
        f"difference to {against.reference} in percentage points",
        header=header,
        rows=rows,
        caption=_caption(against, metric, most),
        notes=[
            *([f"methods are of {against.model} unless they are named with another model"] if several else []),
            *held_out_notes(results),
            *legends(results),
        ],
    )


def _cells(against: Against, place: tuple[str, int | None], most: int) -> list[Text]:
    result, comparison = against.results.get(place), against.comparisons.get(place)
    if result is None:
        return [Text(ABSENT)] * 3
    cell = spread(result.mean, result.std) + (f" [{len(result.runs)}]" if len(result.runs) < most else "")
    if comparison is None:
        return [Text(cell), Text(""), Text("")]
    difference, interval = difference_cells(comparison.difference, comparison.half_width)
    marks = f" [{comparison.pairs}]" if comparison.pairs < most else ""
    marks += f" {UNEQUAL}" if _unequal(comparison) else ""
    return [Text(cell), Text(difference.text + marks, difference.bold), interval]


def _caption(against: Against, metric: str, most: int) -> str:
    comparisons, draws = against.comparisons.values(), draws_name(against.part)
    fewer = any(len(result.runs) < most for result in against.results.values())
    absent = len(against.results) < len({name for name, _ in against.results}) * len(against.sizes)
    alone = any(each.half_width is None for each in comparisons)
    parts = [
        epochs_of(metric) + ", " + (f"1 {draws[:-1]}" if most == 1 else f"mean ± std over {most} {draws}"),
        "differences are means over runs with the same seed and split"
        + ("" if most == 1 else ", their intervals Student's t; bold: it excludes 0, as one in twenty does by chance")
        + f"; all are to the same runs of {against.reference}"
        + (DEPENDENT if any(each.dependent for each in comparisons) else ""),
        *([f"[n]: of n {draws} only"] if fewer else []),
        *(
            [f"{UNEQUAL}: other number of steps than {against.reference}: --effort"]
            if any(map(_unequal, comparisons))
            else []
        ),
        *([f"{ABSENT}: no run" + (", or a single pair" if alone else "")] if absent or alone else []),
    ]
    return "; ".join(parts)


def _unequal(comparison: Comparison) -> bool:
    return steps_of(comparison.first) != steps_of(comparison.second)


def draw_against(against: Against, folder: Path, metric: str) -> list[Path]:
    """The differences with their intervals as points with bars, a panel for each number of samples.

    Args:
        folder: that exists; see `chimeramix.report.plots.plots_folder`.

    Returns:
        The files, PNG and SVG.

    Raises:
        RunFailure: where a file can't be written.
    """
    name = plot_name(f"{against.dataset}-against-{against.reference}", against.part)
    return save_figure(figure_of(against, metric), folder / f"{name}-{metric}")


def figure_of(against: Against, metric: str) -> "Figure":
    """The picture that `draw_against` writes."""
    from matplotlib.figure import Figure  # without pyplot: no display is needed

    compared = {method for method, _ in against.comparisons}
    methods = [method for method in in_order(against.results) if method in compared]
    sizes = [size for size in against.sizes if any(at == size for _, at in against.comparisons)]
    figure = Figure(figsize=(2.5 + 3.2 * len(sizes), 1.4 + 0.24 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for panel, size in zip(panels, sizes, strict=True):
        for place, method in enumerate(methods):
            comparison = against.comparisons.get((method, size))
            if comparison is not None:
                width = comparison.half_width
                color = "C0" if width is not None and abs(comparison.difference) > width else "0.55"
                panel.errorbar(comparison.difference, place, xerr=width, fmt="o", ms=4, capsize=2.5, color=color)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_title(f"{size_name(size)} samples per class", fontsize=9)
        panel.set_xlabel("percentage points", fontsize=8)
    panels[0].set_yticks(range(len(methods)), labels=methods, fontsize=8, parse_math=False)
    title = f"{against.dataset}: {against.part} {metric.replace('_', ' ')}, difference to {against.reference}"
    figure.suptitle(f"{title}\n95 % intervals; blue: it excludes 0", fontsize=9, parse_math=False)
    return figure
