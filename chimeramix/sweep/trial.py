"""Builds the parts of a sweep's runs before any of them starts, each kind once, so that a value which a part refuses is
told by the command and not by a thousand jobs."""

import json
from collections.abc import Callable

import torch

from chimeramix.config.checks import as_user_error
from chimeramix.config.schema import Config
from chimeramix.config.settings import Settings
from chimeramix.data.views import Normalize, Views
from chimeramix.machine import check_recordable
from chimeramix.runs import build
from chimeramix.runs.tryout import (
    check_generator,
    check_images,
    try_augment,
    try_erase,
    try_loss,
    try_model,
    try_schedule,
)
from chimeramix.streams import RunStreams
from chimeramix.types import DataSource, Subset

_CLASSES = 10  # of the data set or not: nothing that a part refuses depends on it


class Trials:
    """Remembers what was built already."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def run(self, settings: Settings, source: DataSource) -> None:
        """Builds a run's parts, on blank images. Raises `UserError`."""
        config = settings.config
        check_images(config, source.image_size, None)
        uses_generator = settings.role == "generator" or build.needs_generator(config)
        groups = [*(["generator"] if uses_generator else []), *(_CLASSIFIER if settings.role == "classifier" else [])]
        for group in groups:
            chosen = getattr(config, group)
            if chosen is None:
                continue
            content = [chosen, config.generator] if group == "mixer" and uses_generator else chosen
            key = json.dumps([group, content, source.image_size, config.machine.compile], sort_keys=True)
            if key not in self._passed:
                _ALL[group](config, source)
                self._passed.add(key)


def _blank(size: int) -> Subset:
    """Two images of each class."""
    labels = torch.arange(_CLASSES).repeat(2)
    return Subset(torch.zeros(len(labels), 3, size, size, dtype=torch.uint8), labels, _CLASSES)


def _generator(config: Config, source: DataSource) -> None:
    check_generator(config, None)
    generator = build.generator(config)
    check_recordable(config.machine.compile, "generator", generator)
    check_recordable(config.machine.compile, "generator.augment", generator.augment)
    try_augment(generator.augment, _blank(generator.image_size), "generator.augment")


def _augment(config: Config, source: DataSource) -> None:
    augment = build.part(config, "augment")
    check_recordable(config.machine.compile, "augment", augment)
    try_augment(augment, _blank(source.image_size), "augment")


def _mixer(config: Config, source: DataSource) -> None:
    network = None
    if build.needs_generator(config) and config.generator is not None:
        network = build.generator(config).network
        build.check_generator(config, network)
    streams = RunStreams(config.seed, torch.device("cpu"))
    subset = _blank(source.image_size)
    normalize = Normalize(source.mean, source.std, torch.device("cpu"))
    views = Views(subset, build.part(config, "augment"), normalize, streams["augment"])
    build.mixer(config, views, streams, _CLASSES, network)


def _optimizer(config: Config, source: DataSource) -> None:
    with as_user_error("optimizer"):
        build.part(config, "optimizer")([torch.zeros(1, requires_grad=True)])


def _part(group: str) -> Callable[[Config, DataSource], object]:
    return lambda config, source: build.part(config, group)


_CLASSIFIER: dict[str, Callable[[Config, DataSource], object]] = {
    "augment": _augment,
    "erase": lambda config, source: try_erase(build.part(config, "erase"), source.image_size),
    "mixer": _mixer,
    "model": lambda config, source: try_model(config, _CLASSES, source.image_size, 1, None),
    "loss": lambda config, source: try_loss(build.loss(config, _CLASSES), _CLASSES),
    "optimizer": _optimizer,
    "schedule": lambda config, source: try_schedule(build.part(config, "schedule")),
    "procedure": _part("procedure"),
}
_ALL = {"generator": _generator, **_CLASSIFIER}
