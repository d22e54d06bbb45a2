"""The papers' figures, as far as this program trains the same: `papers.csv`, made by `tools/paper_figures.py`."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PaperFigure:
    """A cell of a paper's table.

    Attributes:
        mean: top-1 accuracy in percent.
        std: over the paper's runs; None where it gives none.
        source: paper and table.
    """

    mean: float
    std: float | None
    source: str
    note: str


Figures = dict[tuple[str, str, str, int | None], PaperFigure]


def paper_figures() -> Figures:
    """All figures, by data set, model, method and samples per class (None: all), under this program's names."""
    with (Path(__file__).parent / "papers.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["dataset"], row["model"], row["method"], _size(row["samples_per_class"])): PaperFigure(
                mean=float(row["mean"]),
                std=float(row["std"]) if row["std"] else None,
                source=f"{row['paper']} Table {row['table']}",
                note=row["note"],
            )
            for row in csv.DictReader(file)
        }


def _size(text: str) -> int | None:
    return None if text == "all" else int(text)
