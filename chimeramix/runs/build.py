"""Makes the parts of a run from its configuration; the only place where a configuration's targets are instantiated.

A part says by its constructor's signature what it needs of the run: it gets whatever it names of what the run has for
its group (`chimeramix.config.checks.GIVEN_BY_THE_RUN`).
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from chimeramix.config.checks import as_user_error, parameters_of, takes_any_key, target_of
from chimeramix.config.schema import Config
from chimeramix.data.splits import Split
from chimeramix.data.subset import TrainingImages
from chimeramix.data.validation import Cut, Extra, Fold
from chimeramix.data.views import SameClassPartners, Views
from chimeramix.errors import UserError
from chimeramix.generators.base import Generator
from chimeramix.mixing.base import Mixer
from chimeramix.shares import images_of
from chimeramix.streams import RunStreams, derive_seed
from chimeramix.types import DataSource, Mask

_OF_A_SOURCE = ("image_size", "mean", "std", "prepare", "facts", "train", "test")  # see `DataSource`


def source(config: Config, needs_test: bool | None = None) -> DataSource:
    """The data set.

    Args:
        needs_test: whether its test part will be read; None as the configuration says.
    """
    machine = config.machine
    with as_user_error("dataset"):
        made: DataSource = _make(
            config.dataset,
            data_dir=machine.data_dir,
            mirror=machine.mirror,
            workers=machine.workers,
            needs_test=not config.validation.asked if needs_test is None else needs_test,
        )
    lacking = [name for name in _OF_A_SOURCE if not hasattr(made, name)]
    if lacking:
        raise UserError(f"dataset._target_={config.dataset['_target_']}: is no data set, it has no {lacking[0]}")
    return made


def with_images_in(config: Config, folder: Path | None) -> tuple[Config, str, str]:
    """A run's configuration where its images are in another folder by now (None: where they were); also the key that
    says where they are, and its value in the run."""
    key = "dataset.root" if "root" in config.dataset else "machine.data_dir"
    where = str(config.dataset["root"] if key == "dataset.root" else config.machine.data_dir)
    if folder is None:
        return config, key, where
    if key == "dataset.root":
        return dataclasses.replace(config, dataset={**config.dataset, "root": str(folder)}), key, where
    machine = dataclasses.replace(config.machine, data_dir=str(folder))
    return dataclasses.replace(config, machine=machine), key, where


def training_images(config: Config, source: DataSource) -> TrainingImages:
    """The labelled images to learn from, and those that are held out. Raises `UserError`."""
    split: Split | None = part(config, "split")
    return TrainingImages.draw(source, config.max_labels_per_class, config.split_seed, split, _cut(config, split))


def _cut(config: Config, split: Split | None) -> Cut | None:
    """Which images the run holds out."""
    asked = config.validation
    if asked.fold is not None:
        return Fold(asked.fold, asked.folds, asked.seed)
    if asked.extra is not None:
        return Extra(asked.extra, asked.seed)
    return split.cut if asked.published and split is not None else None


def class_sizes(source: DataSource) -> Sequence[int] | None:
    """Number of training images of each class; None where only reading the data would tell."""
    sizes: Sequence[int] | None = getattr(source, "class_sizes", lambda: None)()  # one's own data set may lack it
    return sizes


def generator(config: Config) -> Generator:
    """The generator with fresh weights from the run's seed."""
    with as_user_error("generator"), _seeded_weights(config.seed):
        made: Generator = _make(config.generator)
    return made


def model(config: Config, num_classes: int) -> nn.Module:
    """The classifier with fresh weights from the run's seed."""
    return model_of(config.model, num_classes, config.seed)


def model_of(group: dict[str, Any], num_classes: int, seed: int = 0) -> nn.Module:
    """A classifier of the configuration's group `model`, with fresh weights."""
    target_of(group, "model")  # whose message names the key
    with as_user_error("model"), _seeded_weights(seed):
        made: nn.Module = _make(group, ("num_classes",), num_classes=num_classes)
    check_kind(made, nn.Module, group, "model")
    return made


def loss(config: Config, num_classes: int) -> nn.Module:
    """The classifier's loss; one with layers of its own draws their weights from the run's seed."""
    with as_user_error("loss"), _seeded_weights(config.seed):
        made: nn.Module = _make(config.loss, num_classes=num_classes)
    check_kind(made, nn.Module, config.loss, "loss")
    return made


def part(config: Config, group: str) -> Any:
    """The augmentation, the schedule, the optimiser, ...: whatever needs nothing of the run; None for a null group."""
    chosen = getattr(config, group)
    with as_user_error(group):
        return None if chosen is None else _make(chosen)


def mask_of(group: dict[str, Any]) -> Mask | None:
    """The mask that a generator's or a mixer's group brings, or one of a chain's mixers; None for no mask."""
    with as_user_error("mask"):
        for each in _mixers(group):
            if each.get("mask") is not None:
                made: Mask = _make(each["mask"])
                return made
    return None


def most_images(config: Config) -> int:
    """Among how many images the masks of a run's mixers and of its generator divide places; 2 without any."""
    groups = [*_mixers(config.mixer), *([config.generator] if config.generator is not None else [])]
    with as_user_error("mask"):
        masks = [json.dumps(each["mask"], sort_keys=True) for each in groups if each.get("mask") is not None]
        return max([2, *map(_images_of, masks)])


@cache
def _images_of(mask: str) -> int:
    """Of a mask's group, as JSON. Made once: a sweep asks for each of its runs, and most have the same mask."""
    return images_of(_make(json.loads(mask)))


def needs_generator(config: Config) -> bool:
    """Whether the mixer, or one of a chain's, composes images with a trained generator."""
    return generating_mixer(config) is not None


def generating_mixer(config: Config) -> dict[str, Any] | None:
    """The group of the mixer, or of the first one of a chain, that composes images with a trained generator."""
    return next((each for each in _mixers(config.mixer) if _takes_generator(each)), None)


def mixer_within_classes(config: Config) -> dict[str, Any] | None:
    """The same, or else that of the first one that composes pixels under a mask."""
    composing = (each for each in _mixers(config.mixer) if each.get("mask") is not None)
    return generating_mixer(config) or next(composing, None)


def check_generator(config: Config, network: nn.Module | None) -> None:
    """Raises `UserError` for a network, trained or not, that the mixer can't use; or for none where it needs one."""
    with as_user_error("mixer"):
        for each in _mixers(config.mixer):
            if _takes_generator(each):
                mixer_class: Any = target_of(each, "mixer")
                mixer_class.check_generator(network)


def mixer(
    config: Config,
    views: Views,
    streams: RunStreams,
    num_classes: int,
    generator: nn.Module | None,
    image_size: int | None = None,
) -> Mixer:
    """The mixer, or a chain of mixers, for views of side `image_size`; None for that of the subset's images."""

    def make(group: dict[str, Any], **more: Any) -> Mixer:
        made: Mixer = _make(
            group,
            ("num_classes", "rng"),
            **more,
            num_classes=num_classes,
            rng=streams["mixing"],
            generator=generator,
            partners=SameClassPartners(views, streams["partners"]),
            views=views,
        )
        check_kind(made, Mixer, group, "mixer")
        return made

    with as_user_error("mixer"):
        group = dict(config.mixer)
        if "mixers" in group:
            chained = {name: make(each) for name, each in group.pop("mixers").items()}
            made = make(group, mixers=chained)
        else:
            made = make(group)
        made.check(image_size or views.subset.images.shape[-1])
    return made


def check_kind(made: object, kind: type, group: dict[str, Any], path: str) -> None:
    """Raises `UserError` for a part that is not of the kind that its group is for."""
    if not isinstance(made, kind):
        raise UserError(f"{path}._target_={group['_target_']}: is no {kind.__name__} ({kind.__module__})")


def _mixers(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A mixer's group, or those of a chain's mixers."""
    return list(group["mixers"].values()) if "mixers" in group else [group]


def _takes_generator(group: dict[str, Any]) -> bool:
    return "generator" in parameters_of(target_of(group, "mixer"))


def _make(group: dict[str, Any], common: tuple[str, ...] = (), **offered: Any) -> Any:
    """Instantiates a group with what it names of what the run offers; `_partial_: true` groups (optimisers) stay
    callables.

    Args:
        common: of what is offered, that which every part of this kind takes: a target gets it through `**kwargs`, too.
    """
    if group.get("_partial_"):
        return instantiate(group, _convert_="all")
    named = parameters_of(target_of(group, "this group"))
    hands_on = takes_any_key(named)
    given = {name: value for name, value in offered.items() if name in named or (hands_on and name in common)}
    # Through a partial, so that Hydra never copies or converts what the run hands over (networks, streams).
    make: Callable[..., Any] = instantiate({**group, "_partial_": True}, _convert_="all")
    try:
        return make(**given)
    except TypeError as error:
        if hands_on:  # the check of the keys let all of them pass
            raise ValueError(str(error)) from error
        raise


@contextmanager
def _seeded_weights(seed: int) -> Iterator[None]:
    """Draws initial weights, on the CPU, from a stream of their own; torch's global generators stay as they were."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(derive_seed(seed, "weights"))  # not those of GPUs, as torch.manual_seed would
    try:
        yield
    finally:
        torch.set_rng_state(state)
