"""Pictures as PNG: what the generator makes, which classes are confused, how the training went.

matplotlib is imported when the first picture is drawn; its figures are used without pyplot, so no display is needed and
no global state is kept.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chimeramix.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

_MOST_WRITTEN_CLASSES = 25  # beyond that, class names on axes are not readable
_LONGEST_NAME = 24  # characters of a class name that leave room for the picture


def picture_path(folder: Path, epoch: int) -> Path:
    """Where a run's folder has the picture of an epoch."""
    return folder / "pictures" / f"epoch_{epoch:04d}.png"


@contextmanager
def names_as_they_are() -> Iterator[None]:
    """Texts are drawn as they are written, a `$` too; where the font lacks a sign, a box stands for it."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def short_name(name: str) -> str:
    """A name of which beginning and end are left."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:15]}…{name[-8:]}"


@names_as_they_are()
def draw_columns(columns: dict[str, Tensor], path: Path, title: str) -> None:
    """A table of images: a titled column each, a row per pair.

    Args:
        columns: `[B, 3, S, S]` float in [0, 1], on any device.
    """
    from matplotlib.figure import Figure

    rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(1.1 * len(columns), 1.1 * rows + 0.7), layout="constrained")
    show_columns(figure, columns)
    figure.suptitle(title, fontsize=8)
    save(figure, path)


def show_columns(figure: "FigureBase", columns: dict[str, Tensor]) -> None:
    """The same within a figure, or a part of one."""
    rows = len(next(iter(columns.values())))
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (name, images) in enumerate(columns.items()):
        pixels = images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        axes[0][column].set_title(name.replace(", ", ",\n"), fontsize=7)
        for row in range(rows):
            axes[row][column].imshow(pixels[row], interpolation="nearest")
            axes[row][column].set_axis_off()


@names_as_they_are()
def draw_confusion(confusion: Tensor, classes: Sequence[str], path: Path, title: str) -> None:
    """`[K, K]` counts, rows are labels; cells show the share of their row."""
    from matplotlib.figure import Figure

    share = (confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)).numpy()
    count = len(classes)
    side = min(3 + 0.45 * count, 14)
    names = list(map(short_name, classes))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if count <= _MOST_WRITTEN_CLASSES:
        axis.set_xticks(range(count), labels=names, rotation=45, ha="right")
        axis.set_yticks(range(count), labels=names)
        for row in range(count):
            for column in range(count):
                colour = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.0f}"
                axis.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("class")
    axis.set_title(title, fontsize=9)
    figure.colorbar(image, label="share of the class", shrink=0.8)
    save(figure, path)


@names_as_they_are()
def draw_curves(records: Sequence[dict[str, Any]], part: str, path: Path, title: str) -> None:
    """A classifier's accuracy and loss over epochs, from the records of `metrics.jsonl`.

    Args:
        part: on which it was evaluated, `test` or `validation`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    evaluated = [record for record in records if part in record]
    epochs, evaluated_epochs = ([record["epoch"] for record in some] for some in (records, evaluated))
    left.plot(epochs, [100 * record["train_accuracy"] for record in records], label="training batches")
    left.plot(evaluated_epochs, [100 * record[part]["accuracy"] for record in evaluated], marker="o", label=part)
    left.set(xlabel="epoch", ylabel="accuracy in %")
    left.grid(alpha=0.3)
    left.legend()
    right.plot(epochs, [record["loss"] for record in records], label="training batches")
    right.plot(evaluated_epochs, [record[part]["loss"] for record in evaluated], marker="o", label=part)
    right.set(xlabel="epoch", ylabel="cross entropy in nats")
    right.grid(alpha=0.3)
    right.legend()
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def save(figure: "Figure", path: Path) -> None:
    """As PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
