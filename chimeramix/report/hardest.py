"""A picture of the images that most runs get wrong."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chimeramix.errors import UserError
from chimeramix.files import write_atomically
from chimeramix.report.labels import Label, config_of
from chimeramix.report.plots import file_name
from chimeramix.report.predicted import Reader
from chimeramix.report.results import Result
from chimeramix.report.scores import log_probabilities
from chimeramix.report.store import FinishedRun

OPTION = "--hardest"

_MOST = 40
_COLUMNS = 8


@dataclass(frozen=True)
class Image:
    """One that runs get wrong.

    Attributes:
        position: in its part of the data set.
        answer: the most frequent wrong one, the first of several.
    """

    position: int
    label: int
    runs: int
    wrong: int
    answer: int


@dataclass
class _Tally:
    """What runs answered for the images of a part: `[N]`, `[N, K]`."""

    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    doubt: NDArray[np.float64]


def draw_hardest(results: list[Result], file: Path, images: Path | None, damaged: dict[Path, str]) -> list[Path]:
    """A picture for each data set, of its test images, or of those held out where all runs are validation runs.

    Args:
        file: the picture; for several data sets their names are added to its own.
        images: where the images are by now; None for where the runs read them.

    Returns:
        The files.

    Raises:
        UserError: where no run has predictions, all are right, or images can't be read.
    """
    reader = Reader(OPTION, damaged)
    groups: dict[tuple[Label, str], list[FinishedRun]] = defaultdict(list)
    for result in results:
        groups[result.data_set, result.part] += result.runs.values()
    tested = {data_set for data_set, part in groups if part == "test"}
    chosen = {key: runs for key, runs in groups.items() if key[1] == "test" or key[0] not in tested}
    files = []
    for (data_set, part), runs in chosen.items():
        found = hardest(runs, reader)
        if not found:
            continue
        name = file.name if len(chosen) == 1 else f"{file.stem}-{file_name(data_set.name)}{file.suffix}"
        pixels, classes = _read_images(runs[0], part, found, images)
        title = f"{data_set.name}: the {part} images that most runs get wrong"
        _draw(found, pixels, classes, file.with_name(name), title)
        files.append(file.with_name(name))
    if not files:
        raise reader.nothing("no run gets an image wrong")
    return files


def hardest(runs: list[FinishedRun], reader: Reader) -> list[Image]:
    """Up to 40 images with the largest shares of runs that are wrong, among equals those whose label got the least
    probability (as a geometric mean)."""
    tally: _Tally | None = None
    for run in runs:
        predictions = reader(run)
        if predictions is None:
            continue
        classes = predictions.logits.shape[1]
        tally = _grown(tally, int(predictions.positions.max()) + 1, classes)
        places = predictions.positions
        tally.labels[places] = predictions.labels
        tally.answers[places, predictions.answers] += 1
        tally.doubt[places] -= log_probabilities(predictions.logits)[np.arange(len(places)), predictions.labels]
    if tally is None:
        return []
    return _worst(tally)


def _grown(tally: _Tally | None, size: int, classes: int) -> _Tally:
    """A tally with room for so many images."""
    if tally is None:
        tally = _Tally(np.zeros(0, np.int64), np.zeros((0, classes), np.int64), np.zeros(0))
    more = max(size - len(tally.labels), 0)
    return _Tally(
        np.pad(tally.labels, (0, more)), np.pad(tally.answers, ((0, more), (0, 0))), np.pad(tally.doubt, (0, more))
    )


def _worst(tally: _Tally) -> list[Image]:
    every = np.arange(len(tally.labels))
    runs = tally.answers.sum(1)
    others = tally.answers.copy()
    others[every, tally.labels] = 0
    wrong = others.sum(1)
    count = np.maximum(runs, 1)
    order = np.lexsort((every, -tally.doubt / count, -wrong / count))[:_MOST]
    return [
        Image(int(place), int(tally.labels[place]), int(runs[place]), int(wrong[place]), int(others[place].argmax()))
        for place in order
        if wrong[place]
    ]


def _read_images(
    run: FinishedRun, part: str, found: list[Image], place: Path | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """`[n, S, S, 3]` and the names of the classes, from the data set of a run. Raises `UserError`."""
    # Imported here: they bring torch and Hydra, which a report does without.
    from chimeramix.config.compose import register
    from chimeramix.config.settings import config_from_file
    from chimeramix.runs import build

    values = config_of(run.folder)
    if not isinstance(values.get("dataset"), dict):
        raise UserError(f"{OPTION}: {run.folder / 'config.yaml'} is gone or damaged, so the images can't be found")
    config, key, where = build.with_images_in(config_from_file(values), place)
    remedy = f"they were read from {key}={where}; say with --images FOLDER where they are"
    try:
        register()
        source = build.source(config)
        images: Any = source.test() if part == "test" else source.train()
        positions = [each.position for each in found]
        same = max(positions) < len(images.labels) and images.labels[positions].tolist() == [e.label for e in found]
        if not same:
            raise UserError("their labels are not those of the runs")
        pixels: NDArray[np.uint8] = images.read(positions).permute(0, 2, 3, 1).numpy()
    except (UserError, OSError, ValueError) as error:
        raise UserError(f"{OPTION}: the images of {run.dataset} can't be read ({error}); {remedy}") from error
    return pixels, tuple(images.classes)


def _draw(found: list[Image], pixels: NDArray[np.uint8], classes: tuple[str, ...], file: Path, title: str) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(max(1.55 * columns, 6), 1.8 * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, image, picture in zip(axes, found, pixels, strict=False):
            axis.imshow(picture, interpolation="nearest")
            label, answer = _short(classes[image.label]), _short(classes[image.answer])
            text = f"{label}: {image.wrong} of {image.runs} wrong\ntaken for {answer}"
            axis.set_title(text, fontsize=6.5)
        figure.suptitle(f"{title}\n(class, how many runs are wrong, and their most frequent answer)", fontsize=8)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda temporary: figure.savefig(temporary, format="png", dpi=130))


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:11]}…{name[-6:]}"
