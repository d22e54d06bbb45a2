"""Builds the parts of a sweep's runs before any of them starts, each kind once, so that the command names a value that
a part refuses, before a thousand jobs fail of it."""

import json
from collections.abc import Callable
from functools import partial
from math import inf

import torch

from chimeramix.config.checks import as_user_error
from chimeramix.config.schema import Config
from chimeramix.data.views import Augment, Normalize, SameClassPartners, Views
from chimeramix.machine import check_recordable
from chimeramix.runs import build
from chimeramix.runs.combinations import average_of, check_procedure, check_sharpness, check_views
from chimeramix.runs.tryout import (
    check_generator,
    check_images,
    try_augment,
    try_erase,
    try_loss,
    try_model,
    try_procedure,
    try_schedule,
)
from chimeramix.shares import images_of
from chimeramix.streams import RunStreams
from chimeramix.sweep.plan import PlannedRun
from chimeramix.types import DataSource, Subset

_CLASSES = 10  # of the data set or not: nothing that a part refuses depends on it
_PER_CLASS = 2  # images, at least; some parts refuse a single one, and masks may ask for more

Blank = Callable[[int], Subset]  # of a side


class Trials:
    """Remembers what was built already."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def run(self, run: PlannedRun) -> None:
        """Builds the parts of a run, on blank images; its settings must be known. Raises `UserError`."""
        settings, source = run.settings, run.source
        assert settings is not None
        assert source is not None
        config = settings.config
        check_images(config, source.image_size, None)
        wanted = max(_PER_CLASS, build.most_images(config))
        per_class = int(min(_smallest_class(config, source), wanted))
        blank = partial(_blank, per_class=per_class)
        if settings.role == "classifier":
            check_sharpness(config, None)
            check_views(config, source.image_size)
        uses_generator = settings.role == "generator" or build.needs_generator(config)
        groups = [*(["generator"] if uses_generator else []), *(_CLASSIFIER if settings.role == "classifier" else [])]
        for group in groups:
            chosen = getattr(config, group)
            if chosen is None:
                continue
            content = chosen
            if group == "mixer":
                content = [chosen, uses_generator and config.generator, config.procedure is None]
            elif group == "average":
                content = [chosen, config.procedure is None]
            elif group == "procedure":
                content = [chosen, config.model]
            compiled = config.machine.compile
            key = json.dumps([group, content, source.image_size, compiled, per_class], sort_keys=True)
            if key not in self._passed:
                _ALL[group](config, source, blank)
                self._passed.add(key)


def _smallest_class(config: Config, source: DataSource) -> float:
    """At most so many images of it are trained on; infinite where only reading the data would tell."""
    drawn: float = config.max_labels_per_class or min(build.class_sizes(source) or [], default=inf)
    if config.validation.fold is None or drawn == inf:
        return drawn
    return drawn - drawn // config.validation.folds  # folds differ by at most one image of a class


def _blank(size: int, per_class: int) -> Subset:
    """Some images of each class."""
    labels = torch.arange(_CLASSES).repeat(per_class)
    return Subset(torch.zeros(len(labels), 3, size, size, dtype=torch.uint8), labels, _CLASSES)


def _generator(config: Config, source: DataSource, blank: Blank) -> None:
    check_generator(config, None)
    generator = build.generator(config)
    check_recordable(config.machine.compile, "generator", generator)
    check_recordable(config.machine.compile, "generator.augment", generator.augment)
    subset = blank(generator.image_size)
    try_augment(generator.augment, subset, "generator.augment", generator.image_size)
    if generator.needs_partners:
        views, streams = _views(config, source, subset, generator.augment)
        with as_user_error("generator"):
            SameClassPartners(views, streams["partners"]).check(generator.include_self, images_of(generator.mask))


def _augment(config: Config, source: DataSource, blank: Blank) -> None:
    augment = build.part(config, "augment")
    check_recordable(config.machine.compile, "augment", augment)
    try_augment(augment, blank(source.image_size), "augment", source.image_size)


def _mixer(config: Config, source: DataSource, blank: Blank) -> None:
    network = None
    if build.needs_generator(config) and config.generator is not None:
        network = build.generator(config).network
        build.check_generator(config, network)
    views, streams = _views(config, source, blank(source.image_size), build.part(config, "augment"))
    mixer = build.mixer(config, views, streams, _CLASSES, network, source.image_size)
    if config.procedure is not None:
        check_procedure(mixer)


def _views(config: Config, source: DataSource, subset: Subset, augment: Augment) -> tuple[Views, RunStreams]:
    device = torch.device("cpu")
    streams = RunStreams(config.seed, device)
    return Views(subset, augment, Normalize(source.mean, source.std, device), streams["augment"]), streams


def _optimizer(config: Config, source: DataSource, blank: Blank) -> None:
    with as_user_error("optimizer"):
        build.part(config, "optimizer")([torch.zeros(1, requires_grad=True)])


Trial = Callable[[Config, DataSource, Blank], object]


_CLASSIFIER: dict[str, Trial] = {
    "augment": _augment,
    "erase": lambda config, source, blank: try_erase(build.part(config, "erase"), source.image_size),
    "mixer": _mixer,
    "model": lambda config, source, blank: try_model(config, _CLASSES, source.image_size, 1, None),
    "loss": lambda config, source, blank: try_loss(build.loss(config, _CLASSES), _CLASSES),
    "optimizer": _optimizer,
    "schedule": lambda config, source, blank: try_schedule(build.part(config, "schedule")),
    "procedure": lambda config, source, blank: try_procedure(config, _CLASSES, source.image_size),
    "average": lambda config, source, blank: average_of(config),
}
_ALL = {"generator": _generator, **_CLASSIFIER}
