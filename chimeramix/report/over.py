"""A key's influence: `--over KEY`, the metric over the values of a key in which runs differ."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chimeramix.errors import UserError
from chimeramix.files import save_figure
from chimeramix.report.labels import differing_keys, flat, rank, show_value, variant_labels
from chimeramix.report.plots import file_name, plot_name, plot_results
from chimeramix.report.results import Result
from chimeramix.report.store import Store, epochs_of
from chimeramix.report.tables import ABSENT, draws_name, mean_and_std
from chimeramix.report.where import MISSING, Lookup
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

_DRAWS = ("seed", "split_seed", "split.number", "validation.fold", "validation.seed", "max_labels_per_class")


@dataclass
class Curve:
    """Results that differ in the key alone, and in what follows it.

    Attributes:
        label: the method, with the other settings where it has several curves.
        legend: what the label abbreviates.
        samples_per_class: None for all.
        points: results by the key's value, as it is typed, in the order of the values.
        without: the result of the method where it has no such key, as the baseline has no mask.
        followers: other keys that change whenever the key does, so that their influence is not told apart.
    """

    label: str
    legend: list[str]
    samples_per_class: int | None
    points: dict[str, Result] = field(default_factory=dict)
    without: Result | None = None
    followers: list[str] = field(default_factory=list)


Group = tuple[str, str, str]
"""Data set, model and part, as tables have them."""


def curves_over(key: str, results: list[Result], store: Store) -> dict[Group, list[Curve]]:
    """A curve for each method, number of samples and further setting; without those groups that have no such key.

    Raises:
        UserError: for a key that no run has, of which all have one value, or by which runs are drawn.
    """
    if key in _DRAWS:
        raise UserError(f"--over {key}: means are taken over it, or columns made of it; choose a key of the method")
    look_up = Lookup(store)
    values: dict[int, Any] = {id(result): _value(key, result, look_up) for result in results}
    there = list(values.values())
    if all(value is MISSING for value in there):
        raise UserError(f"--over {key}: {look_up.why_none(key, there)}")
    if len({_typed(value) for value in there if value is not MISSING}) == 1:
        only = next(_typed(value) for value in there if value is not MISSING)
        raise UserError(f"--over {key}: all runs have the value {only}; there is nothing to compare")
    of_model = key.split(".")[0] == "model"
    methods: dict[tuple[str, str, str, str, int | None], list[Result]] = defaultdict(list)
    for result in results:
        model = "all models" if of_model else result.model
        methods[result.dataset, model, result.part, result.name, result.samples_per_class].append(result)
    groups: dict[Group, list[Curve]] = defaultdict(list)
    for (dataset, model, part, name, _), found in methods.items():
        groups[dataset, model, part] += _curves(key, name, found, values, store)
    return {group: curves for group, curves in groups.items() if any(curve.points for curve in curves)}


def _value(key: str, result: Result, look_up: Lookup) -> Any:
    """The key's value in all runs of a result."""
    found = {_typed(value): value for value in (look_up(run, key) for run in result.runs.values())}
    if len(found) > 1:
        raise UserError(
            f"--over {key}: runs of {result.method} that count as one method have {', '.join(sorted(found))}; "
            "the key is not part of what a run is"
        )
    return next(iter(found.values()))


def _typed(value: Any) -> str:
    """As it is typed; 1 and 1.0 are one value, as to a run's identity."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return show_value(int(value) if isinstance(value, float) and value.is_integer() else value)


def _curves(key: str, name: str, results: list[Result], values: dict[int, Any], store: Store) -> list[Curve]:
    """The curves of one method at one number of samples."""
    flat_settings = {id(result): dict(flat(store.settings[_settings(result)])) for result in results}
    typed = {id(result): _typed(values[id(result)]) for result in results}
    differing = differing_keys(flat_settings.values())
    following = [other for other in differing if _follows(other, results, typed, flat_settings)]
    rest = {
        place: {other: value for other, value in settings.items() if other not in following}
        for place, settings in flat_settings.items()
    }
    lines: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        lines[json.dumps(rest[id(result)], sort_keys=True, default=str)].append(result)
    labels = variant_labels(name, {line: rest[id(found[0])] for line, found in lines.items()}, len(lines) == 1, ())
    curves = []
    for line, found in lines.items():
        curve = Curve(labels[line].name, labels[line].legend, found[0].samples_per_class)
        for result in sorted(found, key=lambda result: rank(values[id(result)])):
            if values[id(result)] is MISSING:
                curve.without = result
            else:
                curve.points[typed[id(result)]] = result
        curve.followers = [
            other for other in following if other != key and _changes(other, curve.points, flat_settings)
        ]
        curves.append(curve)
    return curves


def _settings(result: Result) -> str:
    return next(iter(result.runs.values())).settings


def _follows(key: str, results: list[Result], typed: dict[int, str], flat_settings: dict[int, dict[str, Any]]) -> bool:
    """Whether one value of the key that is asked for always comes with one value of this one."""
    found: dict[str, set[str]] = defaultdict(set)
    for result in results:
        found[typed[id(result)]].add(_typed(flat_settings[id(result)].get(key, MISSING)))
    return all(len(each) == 1 for each in found.values())


def _changes(other: str, points: dict[str, Result], flat_settings: dict[int, dict[str, Any]]) -> bool:
    """Whether a key that follows the one asked for has values of its own along a curve, not the same ones."""
    own = {value: _typed(flat_settings[id(result)].get(other)) for value, result in points.items()}
    return len(set(own.values())) > 1 and any(value != each for value, each in own.items())


def over_tables(key: str, groups: dict[Group, list[Curve]], metric: str) -> list[Table]:
    """A table for each data set and model: a row per curve, a column per value of the key."""
    return [_table(key, *group, curves, metric) for group, curves in groups.items()]


def _table(key: str, dataset: str, model: str, part: str, curves: list[Curve], metric: str) -> Table:
    columns = _columns(curves)
    reference = any(curve.without is not None for curve in curves)
    most = max(len(result.runs) for curve in curves for result in _results([curve]))
    rows = []
    for curve in sorted(curves, key=lambda curve: (size_order(curve.samples_per_class), curve.label)):
        best = max(result.mean for result in curve.points.values()) if len(curve.points) > 1 else None
        row = [Text(curve.label), Text(size_name(curve.samples_per_class))]
        row += [_cell(curve.points.get(value), most, best) for value in columns]
        row += [_cell(curve.without, most, None)] if reference else []
        rows.append(row)
    draws = draws_name(part)
    over = f"1 {draws[:-1]}" if most == 1 else f"mean ± std over {most} {draws}"
    return Table(
        title=f"{dataset}, {model}: {part} {metric.replace('_', ' ')} in % over {key}",
        header=["method", "per class", *columns, *(["without it"] if reference else [])],
        rows=rows,
        caption=f"{epochs_of(metric)}, {over}; bold: the best of a row; [n]: of n {draws} only; {ABSENT}: no run",
        notes=_notes(key, curves),
    )


def _columns(curves: list[Curve]) -> list[str]:
    """The key's values in all curves, numbers by size."""
    values = {value for curve in curves for value in curve.points}
    return sorted(values, key=lambda text: rank(_number(text)))


def _number(text: str) -> Any:
    """A number, if that is what a value is and an axis has a place for it."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _results(curves: list[Curve]) -> list[Result]:
    found = [[*curve.points.values(), *([curve.without] if curve.without else [])] for curve in curves]
    return [result for each in found for result in each]


def _cell(result: Result | None, most: int, best: float | None) -> Text:
    if result is None:
        return Text(ABSENT)
    fewer = f" [{len(result.runs)}]" if len(result.runs) < most else ""
    return Text(mean_and_std(result.scores) + fewer, best is not None and result.mean == best)


def _notes(key: str, curves: list[Curve]) -> list[str]:
    """What abbreviated names stand for, and which keys change along."""
    sets = {line for result in _results(curves) for line in result.data_set.legend}
    followers = {other: None for curve in curves for other in curve.followers}
    along = [f"{other} changes along with {key}: their influences are not told apart" for other in followers]
    return [*along, *sorted({*sets, *(line for curve in curves for line in curve.legend)})]


def draw_over(key: str, groups: dict[Group, list[Curve]], folder: Path, metric: str) -> list[Path]:
    """A plot for each table, as PNG and SVG; methods without the key are horizontal lines.

    Args:
        folder: that exists; see `chimeramix.report.plots.plots_folder`.

    Raises:
        RunFailure: where a file can't be written.
    """
    files = []
    for (dataset, model, part), curves in groups.items():
        places = _places(_columns(curves))
        several = len({curve.samples_per_class for curve in curves}) > 1
        lines, levels = {}, {}
        for curve in sorted(curves, key=lambda curve: (curve.label, size_order(curve.samples_per_class))):
            name = curve.label + (f", {size_name(curve.samples_per_class)} per class" if several else "")
            if curve.points:
                lines[name] = [(places[value], result) for value, result in curve.points.items()]
            if curve.without is not None:
                levels[name + (" without it" if curve.points else "")] = curve.without
        ticks = {place: value for value, place in places.items()}
        figure = plot_results(lines, ticks, key, metric, f"{dataset}, {model}", levels, _notes(key, curves))
        name = plot_name(f"{dataset}-{model}", part)
        files += save_figure(figure, folder / f"{name}-over-{file_name(key)}-{metric}")
    return files


def _places(columns: list[str]) -> dict[str, float]:
    """Where values stand on an axis: numbers at their own places, words at even distances."""
    numbers = [_number(value) for value in columns]
    if all(isinstance(number, float) for number in numbers):
        return dict(zip(columns, numbers, strict=True))
    return {value: float(place) for place, value in enumerate(columns)}
