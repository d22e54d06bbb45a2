"""The table of all finished classifier runs: mean and standard deviation over seeds."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chimeramix.errors import UserError
from chimeramix.spec import identity_of

_SEEDS = ("seed", "split_seed")


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seeds only.

    Attributes:
        variant: 4 hexadecimal digits that tell apart rows which agree in all other columns, else empty.
        accuracies: in percent, by seed.
    """

    dataset: str
    samples_per_class: int | None
    model: str
    augment: str
    method: str
    variant: str
    accuracies: dict[tuple[int, int], float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation (ddof 1); None for a single run."""
        return statistics.stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None


def read_results(runs: Path) -> list[tuple[dict[str, Any], str]]:
    """The result of each finished classifier run below `runs`, with the identity of its configuration but the seeds.

    Raises:
        UserError: where there is no such folder, no finished run, or a damaged file.
    """
    if not runs.is_dir():
        raise UserError(f"{runs}: no such folder; name the machine.runs_dir of your runs")
    generators = {path.parent.name.rsplit("-", 1)[-1]: path for path in runs.rglob("generator/*/spec.json")}
    found = []
    for path in sorted(runs.rglob("classifier/*/result.json")):
        spec = _read_json(path.with_name("spec.json"))
        generator = generators.get(spec["generator"] or "")
        seedless = {key: value for key, value in spec.items() if key not in _SEEDS}
        # A generator's identity holds its seed; its configuration without seeds tells whether two runs are one method.
        seedless["generator"] = (
            {key: value for key, value in _read_json(generator).items() if key not in _SEEDS} if generator else None
        )
        found.append((_read_json(path), identity_of(seedless)))
    if not found:
        raise UserError(f"{runs}: no finished classifier run in this folder")
    return found


def summarise(results: list[tuple[dict[str, Any], str]]) -> list[Row]:
    """Groups runs into rows, sorted by data set, samples per class, model and then accuracy."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = defaultdict(dict)
    for result, variant in results:
        row = Row(
            dataset=result["dataset"],
            samples_per_class=result["max_labels_per_class"],
            model=result["model"],
            augment=result["augment"],
            method=result["method"],
            variant=variant[:4],
            accuracies={},
        )
        columns = (row.dataset, row.samples_per_class, row.model, row.augment, row.method)
        row = groups[columns].setdefault(variant, row)
        row.accuracies[result["seed"], result["split_seed"]] = 100 * result["test"]["accuracy"]
    rows = [
        replace(row, variant=row.variant if len(variants) > 1 else "")
        for variants in groups.values()
        for row in variants.values()
    ]
    most = float("inf")
    return sorted(rows, key=lambda row: (row.dataset, row.samples_per_class or most, row.model, row.mean))


def show(rows: list[Row]) -> None:
    """Prints the rows as a table; accuracies in percent, the best of equal conditions in bold. What all rows agree in
    goes into the title."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    conditions = {
        "data set": lambda row: row.dataset,
        "per class": lambda row: "all" if row.samples_per_class is None else str(row.samples_per_class),
        "model": lambda row: row.model,
        "augment": lambda row: row.augment,
    }
    shared = [title for title, value in conditions.items() if len({value(row) for row in rows}) == 1]
    title = ", ".join(f"{title} {conditions[title](rows[0])}" for title in shared)
    table = Table(
        title=title or None,
        caption="test accuracy after the last epoch, mean ± std (ddof 1) over seeds",
        box=box.SIMPLE_HEAD,
        min_width=len(title),
    )
    for column in [*(title for title in conditions if title not in shared), "method", "accuracy in %", "seeds"]:
        numeric = column in ("per class", "accuracy in %", "seeds")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)

    def condition(row: Row) -> tuple[Any, ...]:
        return row.dataset, row.samples_per_class, row.model

    best = {condition(row): row.mean for row in rows}  # rows of one condition come in ascending order
    for row in rows:
        accuracy = f"{row.mean:.2f}" + (f" ± {row.std:.2f}" if row.std is not None else "")
        table.add_row(
            *(value(row) for title, value in conditions.items() if title not in shared),
            row.method + (f" ({row.variant})" if row.variant else ""),
            f"[bold]{accuracy}[/bold]" if row.mean == best[condition(row)] else accuracy,
            str(len(row.accuracies)),
        )
    console = Console()
    # A pipe has no width of its own: take what the table needs.
    console.print(table, width=None if console.is_terminal else 200, justify="left")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or missing ({error}); train this run anew with rerun=true") from error
