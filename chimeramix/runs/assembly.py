"""Assembles what a run trains, from its settings; nothing is written here."""

from dataclasses import dataclass
from typing import Any

import torch

from chimeramix.config.checks import as_user_error
from chimeramix.config.compose import Settings
from chimeramix.data.loader import EpochLoader
from chimeramix.data.subset import epoch_repeats
from chimeramix.data.views import Normalize, Views
from chimeramix.errors import UserError
from chimeramix.machine import Machine, check_recordable
from chimeramix.mixing import Identity
from chimeramix.optimize import Optimisation
from chimeramix.runs import build
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.trained import load_generator
from chimeramix.streams import RunStreams
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.evaluation import Evaluation, evaluate
from chimeramix.training.generator import GeneratorTraining
from chimeramix.training.loop import Training
from chimeramix.training.mixmatch import MixMatchTraining
from chimeramix.training.tracking import Tracker
from chimeramix.types import DataSource, Mask


@dataclass
class Run:
    """What is known of a run before its parts are built."""

    settings: Settings
    machine: Machine
    source: DataSource
    facts: dict[str, Any]
    folder: RunFolder
    streams: RunStreams

    def __post_init__(self) -> None:
        self.values = self.settings.values
        self.tracker = Tracker()  # replaced once the folder exists


@dataclass(frozen=True)
class Parts:
    """A training that is ready to start, but for the superpixels, and what the record tells about it.

    Attributes:
        weights: the network whose weights are the run's outcome.
        mask: the mask that decides whether the views need superpixels; None for no mask.
        num_test: size of the test set; None where there is no test.
        streams: all that the training draws from.
    """

    training: Training
    weights: torch.nn.Module
    data: build.TrainingImages
    views: Views
    mask: Mask | None
    num_test: int | None
    streams: RunStreams


def generator_parts(run: Run) -> Parts:
    """A generator and the pairs it trains on. Raises `UserError`."""
    generator = build.generator(run.values)
    check_recordable(run.machine.compile, "generator", generator)
    check_recordable(run.machine.compile, "generator.augment", generator.augment)
    data = build.training_images(run.source, run.values)
    subset = build.subset(data, generator.image_size)
    build.try_augment(generator.augment, subset, "generator.augment")
    subset = build.with_unlabelled(subset, generator, data, run.source, run.values["split_seed"])
    views = build.views(subset.to(run.machine.device), generator.augment, run.source, run.streams)
    normalize = Normalize(run.source.mean, run.source.std, run.machine.device)
    with as_user_error("generator"):
        training = GeneratorTraining(
            generator,
            views,
            epoch_repeats(generator.epoch_labels_per_class, data.smallest_class),
            run.streams,
            run.machine,
            run.folder.path,
            run.values["monitor"]["pictures_every"],
            normalize.inverse,
            lambda name, path: run.tracker.log_image(name, path),
        )
    return Parts(training, generator.network, data, views, generator.mask, None, run.streams)


def classifier_parts(run: Run) -> Parts:
    """A classifier, its batches, mixer and test set. Raises `UserError`, for a missing generator too."""
    values, machine, source = run.values, run.machine, run.source
    network = None
    if build.needs_generator(values):
        network = load_generator(run.settings, run.facts, machine)
    data = build.training_images(source, values)
    augment = build.part(values, "augment")
    check_recordable(machine.compile, "augment", augment)
    subset = build.subset(data, source.image_size)
    build.try_augment(augment, subset, "augment")
    erase = None if values["erase"] is None else build.part(values, "erase")
    views = build.views(subset.to(machine.device), augment, source, run.streams, erase)
    num_classes = len(data.classes)
    mixer = build.mixer(values, views, run.streams, num_classes, network)

    model = build.model(values, num_classes).to(machine.device).to(memory_format=machine.memory_format)
    machine.compile_networks(model)
    repeats = epoch_repeats(values["epoch_labels_per_class"], data.smallest_class)
    loader = EpochLoader(views, values["batch_size"], repeats, run.streams["order"])
    loss = build.loss(values, num_classes).to(machine.device)
    with as_user_error("optimizer"):
        optimisation = Optimisation(
            [*model.parameters(), *loss.parameters()],
            build.part(values, "optimizer"),
            build.part(values, "schedule"),
            values["epochs"] * len(loader),
            machine,
            getattr(model, "without_weight_decay", tuple)(),
        )
    test = source.test()
    test_images = test.read(range(len(test.labels))).to(machine.device)
    test_labels = test.labels.to(machine.device)
    normalize = Normalize(source.mean, source.std, machine.device)

    def evaluate_on_test(model: torch.nn.Module) -> Evaluation:
        return evaluate(model, test_images, test_labels, num_classes, normalize, machine)

    arguments = (
        model,
        mixer,
        loss,
        loader,
        optimisation,
        values["epochs"],
        evaluate_on_test,
        values["monitor"]["evaluate_every"],
        data.classes,
        machine,
        run.folder.path,
    )
    mask = getattr(mixer, "mask", None)
    if values["procedure"] is None:
        return Parts(ClassifierTraining(*arguments), model, data, views, mask, len(test.labels), run.streams)
    if not isinstance(mixer, Identity):
        raise UserError("procedure mixes images itself: choose mixer=none, or no procedure")
    procedure = build.part(values, "procedure")
    others = build.unlabelled(subset, procedure, data, source, values["split_seed"])
    unlabelled_views = build.views(others.to(machine.device), augment, source, run.streams, erase)
    training = MixMatchTraining(procedure, unlabelled_views, run.streams["unlabelled"], *arguments)
    return Parts(training, training.averaged, data, views, None, len(test.labels), run.streams)
