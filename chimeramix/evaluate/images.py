"""The real images that an evaluation compares: those that a generator was trained on, and unseen ones."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from chimeramix.config.schema import Config
from chimeramix.data.image_file import Reading
from chimeramix.data.image_folder import SUFFIXES
from chimeramix.data.subset import TrainingImages
from chimeramix.errors import UserError
from chimeramix.runs import build
from chimeramix.runs.drawn import read_drawn
from chimeramix.runs.record import read_spec
from chimeramix.types import DataSource


def training_images(
    config: Config, folder: Path, place: Path | None = None, needs_test: bool = False
) -> TrainingImages:
    """The images that a run had, by its `split.json`.

    Args:
        place: where the data set is by now; None for where it was.
        needs_test: whether the test part will be read.

    Raises:
        UserError: where the data set is gone, or has others.
    """
    drawn = read_drawn(folder)
    indices, held_out, labels = drawn.indices, drawn.held_out, torch.tensor(drawn.labels)
    config, key, where = build.with_images_in(config, place)
    remedy = f"the images were read from {key}={where}: say with --images FOLDER if they are elsewhere"
    try:
        source = build.source(config, needs_test)
        part = source.train()
    except (UserError, OSError, ValueError) as error:
        raise UserError(f"{error}; {remedy}") from error
    known = [*indices, *held_out]
    if min(known) < 0 or max(known) >= len(part.labels) or not part.labels[indices].equal(labels):
        found = f"{folder / 'split.json'} has other labels than the data set has now"
        raise UserError(f"{found}: it is not the one of the run; {remedy}")
    # Of a folder of images; positions mean other images once one is added or removed, though labels may still fit.
    facts = (read_spec(folder) or {}).get("facts") or {}
    if facts.get("num_train", len(part.labels)) != len(part.labels) or list(part.classes) != drawn.classes:
        found = f"{folder / 'spec.json'} has other classes, or another number of training images, than the data set has"
        raise UserError(f"{found} now: it is not the one of the run; {remedy}")
    return TrainingImages(source, part, indices, config.split_seed, labels, held_out)


def unseen_images(data: TrainingImages, config: Config, count: int, seed: int) -> Tensor:
    """These images, `[M, 3, S, S]` uint8; see `unseen_positions`. Raises `NoneLeft`."""
    try:
        return data.part.read(unseen_positions(data, config, count, seed))
    except NoneLeft as error:
        raise NoneLeft(
            f"{error}: name a folder of real images with --reference FOLDER, or leave the comparison out with "
            "--no-fidelity"
        ) from error


class NoneLeft(UserError):
    """A class has no image that the run has not seen."""


def unseen_positions(data: TrainingImages, config: Config, count: int, seed: int) -> list[int]:
    """Positions of up to `count` images of the training part that the run has not seen, drawn with the seed.

    Classes have the shares that they have among the training images, to within one image. The test part is not read.

    Raises:
        NoneLeft: where a class has none left.
    """
    seen = {*data.indices}
    for name, group in (("generator", config.generator), ("procedure", config.procedure)):
        if asked := (group or {}).get("unlabelled", 0):
            seen.update(data.unlabelled_positions(asked, name))
        if (group or {}).get("transductive", False):
            seen.update(data.held_out)
    order = torch.randperm(len(data.part.labels), generator=torch.Generator().manual_seed(seed)).tolist()
    others = [position for position in order if position not in seen]
    labels = data.part.labels[others]
    wanted = data.labels.bincount(minlength=len(data.classes))
    available = labels.bincount(minlength=len(data.classes))
    taken = wanted > 0
    total = min(count, int((available[taken] * len(data.labels) // wanted[taken]).min()))
    if total == 0:
        raise NoneLeft("the run has seen all training images of a class, so there are no others to compare with")
    quota = wanted * total // len(data.labels)
    by_remainder = (wanted * total % len(data.labels)).argsort(descending=True, stable=True)
    quota[by_remainder[: total - int(quota.sum())]] += 1
    chosen: list[int] = []
    for label, number in enumerate(quota.tolist()):
        members = (labels == label).nonzero().flatten().tolist()
        chosen += [others[place] for place in members[:number]]
    return chosen


def images_in(folders: Sequence[Path], source: DataSource, count: int, seed: int) -> Tensor:
    """Up to `count` images `[M, 3, S, S]` uint8, drawn with the seed from all below some folders, and made squares as
    the data set's are. Raises `UserError`."""
    square = Reading.of(source)
    paths: list[Path] = []
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise UserError(f"--reference {folder}: no such folder, or it holds no images")
        paths += found
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return torch.stack([square(paths[place]) for place in order])
