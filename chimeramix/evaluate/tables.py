"""An evaluation as tables, and as lines of CSV."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from chimeramix.evaluate.fidelity import Fidelity
from chimeramix.evaluate.memorisation import CLOSE, Distances
from chimeramix.evaluate.reconstruction import Reconstruction
from chimeramix.report.render import markdown
from chimeramix.terminal import Table, Text, print_table

Figures = Fidelity | Distances | Reconstruction
Section = dict[str, Figures]
"""Figures by set of images."""
Plain = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Values by section, set of images and name."""


def fidelity_table(rows: dict[str, Fidelity], title: str, real: int) -> Table:
    texts = [
        [
            name,
            f"{row.images:,}",
            _number(row.kid, 5),
            "–" if row.interval is None else f"{row.interval[0]:.5f} to {row.interval[1]:.5f}",
            _number(row.fid, 2) + ("*" if _too_few(row, real) else ""),
            _number(row.precision, 3),
            _number(row.recall, 3),
        ]
        for name, row in rows.items()
    ]
    notes = []
    if any(_too_few(row, real) for row in rows.values()):
        dimensions = next(iter(rows.values())).fid_dimensions
        notes.append(
            f"* no more images than the feature has dimensions ({dimensions:,}): FID says little, read the KID"
        )
    return Table(
        title=title,
        header=["images", "number", "KID", "95 % interval", "FID", "precision", "recall"],
        rows=[list(map(Text, row)) for row in texts],
        caption="KID, FID: smaller is more like real images; FID and recall compare between rows of one number only",
        notes=notes,
    )


def distance_table(rows: dict[str, Distances], title: str, unit: str) -> Table:
    texts = [
        [
            name,
            f"{row.images:,}",
            f"{row.low:.4g}",
            f"{row.median:.4g}",
            f"{row.high:.4g}",
            percent(row.close),
            percent(row.of_sources),
        ]
        for name, row in rows.items()
    ]
    return Table(
        title=title,
        header=["images", "number", "5 %", "median", "95 %", "close, in %", "to a source, in %"],
        rows=[list(map(Text, row)) for row in texts],
        caption=f"quantiles of the {unit}; close: nearer than {100 * CLOSE:.0f} % of the training images are to "
        "another one; to a source: the nearest is an image that it was composed of",
    )


def reconstruction_table(rows: dict[str, Reconstruction], title: str) -> Table:
    texts = [
        [name, f"{row.images:,}", _number(row.mse, 5), _number(row.psnr, 2), _number(row.ssim, 3)]
        for name, row in rows.items()
    ]
    return Table(
        title=title,
        header=["images", "number", "MSE", "PSNR in dB", "SSIM"],
        rows=[list(map(Text, row)) for row in texts],
        caption="of values in [0, 1]; PSNR and SSIM are means over images",
    )


def show(sections: Plain, titled: Sequence[Table], form: str) -> None:
    """Prints an evaluation in one of `chimeramix.evaluate.options.FORMATS`."""
    if form == "csv":
        print(as_csv(sections), end="")
    elif form == "markdown":
        print("\n".join(markdown(table) for table in titled), end="")
    else:
        for table in titled:
            print_table(table)


def as_csv(sections: Plain) -> str:
    """A line per figure: section, images, figure, value."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["section", "images", "figure", "value"])
    for section, rows in sections.items():
        for name, row in rows.items():
            for figure, value in row.items():
                writer.writerow([section, name, figure, "" if value is None else value])
    return target.getvalue()


def record(row: Figures) -> dict[str, Any]:
    """Figures as JSON values; the interval of a KID beside it."""
    values = dataclasses.asdict(row)
    if isinstance(row, Fidelity) and row.interval is not None:
        values["kid_low"], values["kid_high"] = row.interval
    return values


def _too_few(row: Fidelity, real: int) -> bool:
    return row.fid is not None and min(row.images, real) <= row.fid_dimensions


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as a cell."""
    return "–" if share is None else f"{100 * share:.{digits}f}"
