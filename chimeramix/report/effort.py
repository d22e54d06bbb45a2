"""What the compared runs cost: steps, seconds and FLOPs of classifiers and of the generators that they use."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chimeramix.report.results import Result, by_table
from chimeramix.report.tables import ABSENT, legends, span
from chimeramix.runs.record import DamagedRecord, precision_of, read_record
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

Record = dict[str, Any]


def effort_tables(results: list[Result], generators: Mapping[str | None, Path]) -> list[Table]:
    """A table for each data set, model and part; a row per method and number of samples.

    Args:
        generators: folders of generators by identity.
    """
    read: dict[str, Record | None] = {}  # by identity: many classifiers may share a generator
    tables = []
    for (dataset, model, part), group in by_table(results).items():
        rows, lost = [], False
        for result in group:
            runs = [run.record for run in result.runs.values()]
            used = [_generator(run.get("generator_identity"), generators, read) for run in runs]
            of_generators = [record for record in used if record]
            lost |= any(record is None for record in used)
            rows.append(_row(result, runs, of_generators, whole=all(record is not None for record in used)))
        tables.append(
            Table(
                title=f"{dataset}, {model}: what the runs behind the {part} figures cost",
                header=[
                    *("method", "per class", "steps", "seconds", "generator steps", "generator seconds"),
                    *("seconds in all", "PFLOP in all", "device"),
                ],
                rows=rows,
                caption="means over runs, a generator counted with each run that uses it; PFLOP: 10^15 floating-point "
                "operations of the trained networks in forward and backward passes, as counted by PyTorch "
                "(convolutions and matrix products; not those of a generator that composes images); "
                f"{ABSENT}: none, or not known",
                notes=[
                    *_tuned(group),
                    *legends(group),
                    *(["the records of some generators are gone or damaged"] if lost else []),
                ],
            )
        )
    return tables


def _tuned(results: list[Result]) -> list[str]:
    """What chose the settings (`tuned`), and of which methods."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        for run in result.runs.values():
            if run.record.get("tuned"):
                found.setdefault(run.record["tuned"], {})[result.method] = None
    return [f"settings of {', '.join(methods)}: {text}" for text, methods in found.items()]


def _generator(
    identity: str | None, generators: Mapping[str | None, Path], read: dict[str, Record | None]
) -> Record | None:
    """A generator's result; empty for a run without one, None where it is gone."""
    if identity is None:
        return {}
    if identity not in read:
        try:
            record = read_record(generators[identity]) if identity in generators else None
        except DamagedRecord:
            record = None
        read[identity] = record.result if record else None
    return read[identity]


def _row(result: Result, runs: list[Record], generators: list[Record], whole: bool) -> list[Text]:
    """Args:
    whole: whether what is known of the generators is all.
    """
    seconds = statistics.fmean(run["seconds"] for run in runs)
    own = statistics.fmean(record["seconds"] for record in generators) if generators else 0.0
    flops = [record.get("flops") for record in (*runs, *generators)]
    known = [each for each in flops if isinstance(each, int | float)]
    petaflops = sum(known) / len(runs) / 1e15 if whole and len(known) == len(flops) else None
    devices = sorted({_device(record) for record in (*runs, *generators)})
    texts = [
        result.method,
        size_name(result.samples_per_class),
        span([run["steps"] for run in runs]),
        _seconds(seconds),
        span([record["steps"] for record in generators]),
        _seconds(own) if generators else ABSENT,
        _seconds(seconds + own) if whole else ABSENT,
        ABSENT if petaflops is None else f"{petaflops:.3g}",
        "; ".join(devices),
    ]
    return [Text(text) for text in texts]


def _device(record: Record) -> str:
    """With the precision, where the record has it."""
    precision = precision_of(record)
    return str(record.get("device", "unknown")) + (f", {precision}" if precision != "unknown" else "")


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
