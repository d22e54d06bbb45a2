"""Plots of the results, each as PNG and SVG."""

import re
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.errors import UserError
from chimeramix.files import read_json_lines, save_figure
from chimeramix.report.results import Result, by_table
from chimeramix.report.store import FinishedRun
from chimeramix.report.tables import draws_name, legends
from chimeramix.runs.spec import size_name, size_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = list[dict[str, Any]]


def draw_plots(results: list[Result], folder: Path, metric: str) -> list[Path]:
    """For each data set and model the metric over samples per class, and for each of its numbers the training curves.

    Args:
        folder: that exists; see `plots_folder`.

    Returns:
        The files, PNG and SVG.

    Raises:
        RunFailure: where a file can't be written.
    """
    files = []
    for (dataset, model, part), group in by_table(results).items():
        name, title = plot_name(f"{dataset}-{model}", part), f"{dataset}, {model}"
        files += save_figure(_over_samples(group, title, metric), folder / f"{name}-{metric}")
        for size in sorted({result.samples_per_class for result in group}, key=size_order):
            chosen = [result for result in group if result.samples_per_class == size]
            count = size_name(size)
            files += save_figure(
                _training_curves(chosen, f"{title}, {count} samples per class"), folder / f"{name}-n{count}-training"
            )
    return files


@contextmanager
def plots_folder(folder: Path) -> Iterator[Path]:
    """Makes the folder that plots are drawn into. Raises `UserError` where there can't be such a folder, and where it
    can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise UserError(f"--plots: {folder} can't be written ({error.strerror})") from error


def _over_samples(results: list[Result], title: str, metric: str) -> "Figure":
    """A line per method; numbers of samples at even distances."""
    sizes = sorted({result.samples_per_class for result in results}, key=size_order)
    lines = {
        method: [(float(sizes.index(result.samples_per_class)), result) for result in line]
        for method, line in _by_method(results).items()
    }
    ticks = {float(place): size_name(size) for place, size in enumerate(sizes)}
    return plot_results(lines, ticks, "samples per class", metric, title, notes=legends(results))


def plot_results(
    lines: Mapping[str, Sequence[tuple[float, Result]]],
    ticks: Mapping[float, str],
    below: str,
    metric: str,
    title: str,
    levels: Mapping[str, Result] | None = None,
    notes: Sequence[str] = (),
) -> "Figure":
    """Results as lines with their standard deviations as error bars.

    Args:
        lines: places on the axis and results, by name.
        ticks: what stands below the places.
        below: the axis's name.
        levels: results that belong to no place, as horizontal lines, by name.
        notes: small print, such as what abbreviated names stand for.
    """
    levels = levels or {}
    figure, axis = _figure(7, len(lines) + len(levels))
    places = sorted(ticks)
    step = min((after - before for before, after in pairwise(places)), default=1.0)
    for position, (name, line) in enumerate(lines.items()):
        shift = step * (position - (len(lines) - 1) / 2) * min(0.04, 0.4 / len(lines))  # error bars side by side
        points = sorted(line, key=lambda point: point[0])
        axis.errorbar(
            [place + shift for place, _ in points],
            [result.mean for _, result in points],
            [result.std or 0.0 for _, result in points],
            label=name,
            capsize=2.5,
            **_style(position),
        )
    for position, (name, result) in enumerate(levels.items(), start=len(lines)):
        style = _style(position)
        axis.axhline(result.mean, label=name, color=style["color"], linestyle=(0, (4, 2)), linewidth=1)
    axis.set_xticks(places, labels=[ticks[place] for place in places])
    axis.set_xlim(places[0] - 0.4 * step, places[-1] + 0.4 * step)
    results = [*(result for line in lines.values() for _, result in line), *levels.values()]
    most, part = max(len(result.runs) for result in results), results[0].part
    bars = "" if most == 1 else f", mean ± std over {most} {draws_name(part)}"
    axis.set_xlabel(below, parse_math=False)
    axis.set_ylabel(f"{part} {metric.replace('_', ' ')} in %{bars}")
    _finish(figure, axis, title, notes)
    return figure


def _training_curves(results: list[Result], title: str) -> "Figure":
    """Mean over runs of the training loss, the training accuracy, and the accuracy on test or held-out images where it
    was measured."""
    part = results[0].part
    figure, axes = _figure(14, len(results), panels=3)
    panels: list[tuple[str, Callable[[dict[str, Any]], float | None]]] = [
        ("training loss", lambda record: record.get("loss")),
        ("training accuracy in %", lambda record: _percent(record.get("train_accuracy"))),
        (f"{part} accuracy in %", lambda record: _percent((record.get(part) or {}).get("accuracy"))),
    ]
    for position, result in enumerate(results):
        histories = [_read_metrics(run) for run in result.runs.values()]
        for axis, (_, value) in zip(axes, panels, strict=True):
            steps, means, stds = _mean_curve(histories, value)
            style = {**_style(position), "marker": "o" if len(steps) == 1 else ""}
            (line,) = axis.plot(steps, means, label=result.method, **style)
            if any(stds):
                low, high = ([mean + sign * std for mean, std in zip(means, stds, strict=True)] for sign in (-1, 1))
                axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    for axis, (name, _) in zip(axes, panels, strict=True):
        axis.set(xlabel="steps", ylabel=name)
        axis.grid(alpha=0.3)
    _finish(figure, axes[-1], title, legends(results))
    return figure


def _mean_curve(
    histories: Iterable[Records], value: Callable[[dict[str, Any]], float | None]
) -> tuple[list[int], list[float], list[float]]:
    """Steps, and mean and standard deviation over the histories at each."""
    points = defaultdict(list)
    for records in histories:
        for record in records:
            found = value(record)
            if found is not None:
                points[record["step"]].append(found)
    steps = sorted(points)
    stds = [statistics.stdev(points[step]) if len(points[step]) > 1 else 0.0 for step in steps]
    return steps, [statistics.fmean(points[step]) for step in steps], stds


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _read_metrics(run: FinishedRun) -> Records:
    path = run.folder / "metrics.jsonl"
    try:
        return read_json_lines(path)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); train this run again with rerun=true") from error


def _by_method(results: list[Result]) -> dict[str, list[Result]]:
    lines: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda result: result.method):
        lines[result.method].append(result)
    return lines


def _style(position: int) -> dict[str, Any]:
    """Ten colours, distinguished by line style and marker where there are more methods."""
    rank = position // 10 % 4
    return {"color": f"C{position % 10}", "linestyle": ("-", "--", ":", "-.")[rank], "marker": "os^D"[rank], "ms": 4}


def _figure(width: float, methods: int, panels: int = 1) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure  # without pyplot: no display is needed

    figure = Figure(figsize=(width, max(4.2, 0.19 * methods + 0.8)), layout="constrained")  # the legend fits in
    return figure, figure.subplots(1, panels)


def _finish(figure: "Figure", axis: "Axes", title: str, notes: Sequence[str]) -> None:
    axis.grid(alpha=0.3)
    names = axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for name in names.get_texts():
        name.set_parse_math(False)  # a folder's name may have a $ in it
    figure.suptitle(title, fontsize=10, parse_math=False)
    width = int(figure.get_figwidth() * 15)  # characters of the small print below the axes
    lines = [line for note in notes for line in textwrap.wrap(note, width)]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left", parse_math=False)


def plot_name(text: str, part: str) -> str:
    """How the file of a plot begins."""
    return file_name(text) + ("-validation" if part == "validation" else "")


def file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")
