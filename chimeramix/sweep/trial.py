"""Builds the parts of a sweep's runs before any of them starts, each kind once, so that a value which a part refuses is
told by the command and not by a thousand jobs."""

import json
from collections.abc import Callable
from typing import Any

import torch

from chimeramix.config.checks import as_user_error
from chimeramix.config.compose import Settings
from chimeramix.machine import check_recordable
from chimeramix.runs import build
from chimeramix.streams import RunStreams
from chimeramix.types import DataSource, Subset

_CLASSES = 10  # of the data set or not: nothing that a part refuses depends on it


class Trials:
    """Remembers what was built already."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def run(self, settings: Settings, source: DataSource) -> None:
        """Builds a run's parts, on blank images. Raises `UserError`."""
        values = settings.values
        uses_generator = settings.role == "generator" or build.needs_generator(values)
        groups = [*(["generator"] if uses_generator else []), *(_CLASSIFIER if settings.role == "classifier" else [])]
        for group in groups:
            if values[group] is None:
                continue
            content = [values[group], values["generator"]] if group == "mixer" and uses_generator else values[group]
            key = json.dumps([group, content, source.image_size, values["machine"]["compile"]], sort_keys=True)
            if key not in self._passed:
                _ALL[group](values, source)
                self._passed.add(key)


def _blank(size: int) -> Subset:
    """Two images of each class."""
    labels = torch.arange(_CLASSES).repeat(2)
    return Subset(torch.zeros(len(labels), 3, size, size, dtype=torch.uint8), labels, _CLASSES)


def _generator(values: dict[str, Any], source: DataSource) -> None:
    generator = build.generator(values)
    check_recordable(values["machine"]["compile"], "generator", generator)
    check_recordable(values["machine"]["compile"], "generator.augment", generator.augment)
    build.try_augment(generator.augment, _blank(generator.image_size), "generator.augment")


def _augment(values: dict[str, Any], source: DataSource) -> None:
    augment = build.part(values, "augment")
    check_recordable(values["machine"]["compile"], "augment", augment)
    build.try_augment(augment, _blank(source.image_size), "augment")


def _mixer(values: dict[str, Any], source: DataSource) -> None:
    network = None
    if build.needs_generator(values) and values["generator"] is not None:
        network = build.generator(values).network
        build.check_generator(values, network)
    streams = RunStreams(values["seed"], torch.device("cpu"))
    subset = _blank(source.image_size)
    views = build.views(subset, build.part(values, "augment"), source, streams)
    build.mixer(values, views, streams, _CLASSES, network)


def _optimizer(values: dict[str, Any], source: DataSource) -> None:
    with as_user_error("optimizer"):
        build.part(values, "optimizer")([torch.zeros(1, requires_grad=True)])


def _part(group: str) -> Callable[[dict[str, Any], DataSource], object]:
    return lambda values, source: build.part(values, group)


_CLASSIFIER: dict[str, Callable[[dict[str, Any], DataSource], object]] = {
    "augment": _augment,
    "erase": _part("erase"),
    "mixer": _mixer,
    "model": lambda values, source: build.model(values, _CLASSES),
    "loss": lambda values, source: build.loss(values, _CLASSES),
    "optimizer": _optimizer,
    "schedule": _part("schedule"),
    "procedure": _part("procedure"),
}
_ALL = {"generator": _generator, **_CLASSIFIER}
