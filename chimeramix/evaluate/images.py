"""The images that an evaluation compares: a generator's compositions, those it was trained on, and unseen ones."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.config.schema import Config
from chimeramix.data.image_file import Reading
from chimeramix.data.image_folder import SUFFIXES
from chimeramix.data.segments import SubsetSegments
from chimeramix.data.subset import TrainingImages
from chimeramix.data.views import Augment, Normalize, Views
from chimeramix.errors import UserError
from chimeramix.mixing import GLICO, ChimeraMix, Mixer, SuperMix
from chimeramix.runs import build
from chimeramix.runs.drawn import read_drawn
from chimeramix.runs.record import read_spec
from chimeramix.streams import RunStreams
from chimeramix.types import DataSource

_BATCH = 64


@dataclass(frozen=True)
class Compositions:
    """What a classifier gets of a generator.

    Attributes:
        images: `[M, 3, S, S]` uint8 on the CPU, at the data set's size.
        sources: `[M, n]` int64, the training images that each was made of, its own first; None where the generator
            keeps no account of them.
    """

    images: Tensor
    sources: Tensor | None


def training_images(config: Config, folder: Path, place: Path | None = None) -> TrainingImages:
    """The images that a run had, by its `split.json`.

    Args:
        place: where the data set is by now; None for where it was.

    Raises:
        UserError: where the data set is gone, or has others.
    """
    drawn = read_drawn(folder)
    indices, held_out, labels = drawn.indices, drawn.held_out, torch.tensor(drawn.labels)
    config, key, where = build.with_images_in(config, place)
    remedy = f"the images were read from {key}={where}: say with --images FOLDER if they are elsewhere"
    try:
        source = build.source(config, needs_test=False)
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


def with_composing_mixer(config: Config, network: nn.Module) -> Config:
    """A generator's configuration with the mixer that uses it; where it names none for this kind of generator, with the
    kind's own mixer as it comes. Raises `UserError` for a generator whose images no mixer takes."""
    return dataclasses.replace(config, mixer=build.generating_mixer(config) or _usual_mixer(config, network))


class Composer:
    """The mixer of a run's configuration, at probability 1, on unaugmented training images.

    Args:
        data: the run's training images.
        network: the generator, trained and frozen, on the device; None for a mixer that needs none.
        streams: all that is drawn.

    Raises:
        UserError: for a mixer and a generator that don't fit.
    """

    def __init__(
        self,
        config: Config,
        data: TrainingImages,
        network: nn.Module | None,
        streams: RunStreams,
        device: torch.device,
    ) -> None:
        group = config.mixer
        if "probability" in group:
            group = {**group, "probability": 1.0}
        config = dataclasses.replace(config, mixer=group)
        build.check_generator(config, network)
        source, size = data.source, data.source.image_size
        self._normalize = Normalize(source.mean, source.std, device)
        mask = build.mask_of(group)
        segments = None
        if mask is not None and mask.segmentation is not None:
            segments = SubsetSegments(
                data.images, size, mask.segmentation, source.mean, source.std, workers=0, device=device
            )
        subset = data.subset(size).to(device)
        self._views = Views(subset, _as_it_is, self._normalize, streams["augment"], segments)
        augment: Augment = build.part(config, "augment")
        self._augmented = Views(subset, augment, self._normalize, streams["augment"])
        self.mixer: Mixer = build.mixer(config, self._views, streams, len(data.classes), network)
        self._drawn: list[Tensor] = []
        if self.mixer.partners is not None:
            self._note(self.mixer.partners)
        self._order = streams["order"]

    def compose(self, count: int) -> Compositions:
        """Compositions of training images, each of which is as often the first as any other, to within one."""
        images, sources = [], []
        with torch.no_grad():
            for index in self._positions(count).split(_BATCH):
                self._drawn.clear()
                batch = self._views(index)
                mixed, _ = self.mixer.mix(batch)
                images.append(self.pixels(mixed))
                partners = torch.cat(self._drawn) if self._drawn else index[:0]
                # Several partners of each stand one after another: all first ones, then all second ones.
                sources.append(torch.cat([index[None], partners.view(-1, len(index))]).T.cpu())
        return Compositions(torch.cat(images), torch.cat(sources) if self._drawn else None)

    def _note(self, partners: Any) -> None:
        """Keeps an account of what these partners draw, whichever of their methods the mixer calls."""
        draw = partners.index

        def index(*arguments: Any, **keywords: Any) -> Tensor:
            drawn: Tensor = draw(*arguments, **keywords)
            self._drawn.append(drawn)
            return drawn

        partners.index = index

    def augmented(self, count: int) -> Tensor:
        """Training images as the run's `augment` changes them, `[count, 3, S, S]` uint8."""
        parts = [self.pixels(self._augmented(index).images) for index in self._positions(count).split(_BATCH)]
        return torch.cat(parts)

    def pixels(self, images: Tensor) -> Tensor:
        """Normalised images as uint8 on the CPU."""
        return (self._normalize.inverse(images.float()).clamp(0, 1) * 255).round().byte().cpu()

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images `[B, 3, S, S]` as the mixer takes them, on its device."""
        return self._normalize(images.to(self._views.subset.images.device))

    def _positions(self, count: int) -> Tensor:
        number = len(self._views.subset)
        rounds = [self._order.permutation(number) for _ in range(-(-count // number))]
        return torch.cat(rounds)[:count]


def _as_it_is(images: Tensor, segments: Tensor | None, rng: object) -> tuple[Tensor, Tensor | None]:
    return images, segments


def _usual_mixer(config: Config, network: nn.Module) -> dict[str, Any]:
    for kind in (ChimeraMix, GLICO, SuperMix):
        try:
            kind.check_generator(network)
        except ValueError:
            continue
        mask = {"mask": config.generator["mask"]} if kind is ChimeraMix else {}
        return {"_target_": f"chimeramix.mixing.{kind.__name__}", "probability": 1.0, **mask}
    raise UserError(f"no mixer is known that takes a generator like {config.generator['_target_']}: set mixer=NAME")
