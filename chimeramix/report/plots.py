"""Plots of the results, each as PNG and SVG."""

import re
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.errors import UserError
from chimeramix.files import read_json_lines
from chimeramix.report.results import FinishedRun, Result, by_table
from chimeramix.report.tables import draws_name, legends
from chimeramix.runs.spec import size_name, size_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = list[dict[str, Any]]


def draw_plots(results: list[Result], folder: Path, metric: str) -> list[Path]:
    """For each data set and model the metric over samples per class, and for each of its numbers the training curves.

    Returns:
        The files, PNG and SVG.

    Raises:
        UserError: where the folder can't be written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (dataset, model, part), group in by_table(results).items():
            name, title = file_name(f"{dataset}-{model}"), f"{dataset}, {model}"
            name += "-validation" if part == "validation" else ""
            files += _save(_over_samples(group, title, metric), folder / f"{name}-{metric}")
            for size in sorted({result.samples_per_class for result in group}, key=size_order):
                chosen = [result for result in group if result.samples_per_class == size]
                count = size_name(size)
                files += _save(
                    _training_curves(chosen, f"{title}, {count} samples per class"),
                    folder / f"{name}-n{count}-training",
                )
    except OSError as error:
        raise UserError(f"--plots: {folder} can't be written ({error.strerror})") from error
    return files


def _over_samples(results: list[Result], title: str, metric: str) -> "Figure":
    """A line per method with its standard deviation as error bars; numbers of samples at even distances."""
    lines = _by_method(results)
    figure, axis = _figure(7, len(lines))
    sizes = sorted({result.samples_per_class for result in results}, key=size_order)
    for position, (method, line) in enumerate(lines.items()):
        line.sort(key=lambda result: size_order(result.samples_per_class))
        shift = (position - (len(lines) - 1) / 2) * min(0.04, 0.4 / len(lines))  # error bars side by side
        axis.errorbar(
            [sizes.index(result.samples_per_class) + shift for result in line],
            [result.mean for result in line],
            [result.std or 0.0 for result in line],
            label=method,
            capsize=2.5,
            **_style(position),
        )
    axis.set_xticks(range(len(sizes)), labels=[size_name(size) for size in sizes])
    axis.set_xlim(-0.4, len(sizes) - 0.6)
    most = max(len(result.runs) for result in results)
    bars = "" if most == 1 else f", mean ± std over {most} {draws_name(results[0].part)}"
    axis.set(xlabel="samples per class", ylabel=f"{results[0].part} {metric.replace('_', ' ')} in %{bars}")
    _finish(figure, axis, title, results)
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
    _finish(figure, axes[-1], title, results)
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


def _finish(figure: "Figure", axis: "Axes", title: str, results: list[Result]) -> None:
    axis.grid(alpha=0.3)
    names = axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for name in names.get_texts():
        name.set_parse_math(False)  # a folder's name may have a $ in it
    figure.suptitle(title, fontsize=10, parse_math=False)
    width = int(figure.get_figwidth() * 15)  # characters of the small print below the axes
    lines = [line for legend in legends(results) for line in textwrap.wrap(legend, width)]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left", parse_math=False)


def _save(figure: "Figure", stem: Path) -> list[Path]:
    import matplotlib

    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    # Text as text, and the same bytes for the same figures.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chimeramix"}):
        for file in files:
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")
