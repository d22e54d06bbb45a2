"""The labelled images on which a finished classifier is evaluated: its own ones, another data set's, or a folder's.

All are read as the run reads its own images, and their classes are found by name among the run's.
"""

import dataclasses
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chimeramix.config.compose import compose_settings
from chimeramix.config.schema import Config
from chimeramix.data.image_file import Reading
from chimeramix.data.image_folder import FolderImages, list_classes
from chimeramix.errors import UserError
from chimeramix.evaluate.images import training_images
from chimeramix.runs import build
from chimeramix.runs.predictions import read_predictions
from chimeramix.runs.record import DamagedRecord, Record, evaluated_part
from chimeramix.types import DataSource, LabelledImages

_UNNAMED = "image_folder"  # dataset.name of one's own images that were given no other
_LONGEST_NAME = 100  # bytes
_SHOWN_CLASSES = 10
_WORKERS = 4


@dataclass(frozen=True)
class LabelledSet:
    """Images whose classes a run knows.

    Attributes:
        name: of the data set, for titles and files.
        part: `test`, `validation` for images that the run held out, or `folder`.
        where: what says where they were read, such as the words of the command.
        images: `[M, 3, S, S]` uint8 on the CPU, as the run reads them.
        labels: `[M]` int64, in the run's numbering.
    """

    name: str
    part: str
    where: str
    images: Tensor
    labels: Tensor


def own_images(folder: Path, record: Record, config: Config, place: Path | None) -> LabelledSet:
    """Those that the run was evaluated on: of the test part, which a run with held-out images does not read.

    Args:
        place: where the data set is by now; None for where it was.

    Raises:
        UserError: where the data set is gone, or is another one by now.
    """
    part = evaluated_part(record.result)
    data = training_images(config, folder, place, needs_test=part == "test")
    found = data.evaluation()
    known = None
    with suppress(DamagedRecord):  # it is only compared with: an evaluation needs it no more
        known = read_predictions(folder, record.result)
    count = record.result[f"num_{part}"]
    same = known is None or (known.labels.tolist() == found.labels.tolist())
    config, key, _ = build.with_images_in(config, place)
    where = f"{key}={config.dataset['root'] if key == 'dataset.root' else config.machine.data_dir}"
    if found.part != part or len(found.labels) != count or not same:
        raise UserError(
            f"{where} has other {part} images than the run was evaluated on ({count:,} by {folder / 'result.json'}); "
            "say with --images FOLDER if they are elsewhere, or choose them with +dataset=NAME"
        )
    return LabelledSet(_name_of(config), part, where, found.images, found.labels)


def compose(words: Sequence[str], config_dir: str | None, reading: Reading) -> tuple[Config, DataSource]:
    """Another data set, by the words of a command. Its images get the size of the run's. Raises `UserError`."""
    config = compose_settings("classifier", list(words), config_dir).config
    own = {"image_size": reading.size, **({"resize_to": reading.resize_to} if "resize_to" in config.dataset else {})}
    return config, build.source(dataclasses.replace(config, dataset={**config.dataset, **own}), needs_test=True)


def other_images(
    config: Config, source: DataSource, words: Sequence[str], classes: Sequence[str], reading: Reading
) -> LabelledSet:
    """The test part of what `compose` gave. Raises `UserError` for classes that the run does not know."""
    return _labelled(source.test(), _name_of(config), "test", " ".join(words), classes, reading)


def folder_images(folder: Path, classes: Sequence[str], reading: Reading) -> LabelledSet:
    """Image files in one folder per class. Raises `UserError` as `other_images` does, and for what is no image."""
    parts = folder / "test", folder / "train"
    of_classes = [part for part in parts if part.is_dir() and any(path.is_dir() for path in part.iterdir())]
    if of_classes:
        raise UserError(f"--folder {folder}: holds folders of folders, no classes; name one, such as {of_classes[0]}")
    name = _short(folder.resolve().name) or "folder"
    part = FolderImages(list_classes(folder), reading.size, "crop", _WORKERS)
    return _labelled(part, name, "folder", str(folder), classes, reading)


def renumbered(labels: Tensor, theirs: Sequence[str], ours: Sequence[str], name: str) -> Tensor:
    """Labels of a data set in the numbering of the run. Raises `UserError` for images of a class that the run does not
    know.

    Args:
        labels: `[M]` int64, positions in `theirs`.
        theirs, ours: names of the data set's classes and of the run's.
        name: of the data set, for the message.
    """
    number = {each: position for position, each in enumerate(ours)}
    unknown = [theirs[label] for label in labels.unique().tolist() if theirs[label] not in number]
    if unknown:
        raise UserError(f"{name} has classes that the run does not know: {listed(unknown)}; it knows {listed(ours)}")
    return torch.tensor([number.get(each, -1) for each in theirs])[labels]


def listed(classes: Sequence[str]) -> str:
    """Some names and how many more there are."""
    more = len(classes) - _SHOWN_CLASSES
    return ", ".join(classes[:_SHOWN_CLASSES]) + (f" and {more} more" if more > 0 else "")


def _labelled(
    part: LabelledImages, name: str, kind: str, where: str, classes: Sequence[str], reading: Reading
) -> LabelledSet:
    labels = renumbered(part.labels, part.classes, classes, name)
    if not len(labels):
        raise UserError(f"{name}: there are no images")
    positions = range(len(labels))
    read_as: Any = getattr(part, "read_as", None)  # one's own data set may lack it: it knows the size only
    images = part.read(positions) if read_as is None else read_as(reading, positions)
    return LabelledSet(name, kind, where, images, labels)


def _name_of(config: Config) -> str:
    """The data set's name; of one's own images that have none, that of their folder."""
    name, root = str(config.dataset["name"]), config.dataset.get("root")
    own = Path(root).expanduser().resolve().name if name == _UNNAMED and isinstance(root, str) else ""
    return _short(own) or name


def _short(name: str) -> str:
    """What of a folder's name fits into a file's and into a title, whatever its length, characters and encoding."""
    text = os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore")
    return "".join(sign for sign in text if sign.isprintable())
