"""Assembles what a run trains, from its settings; nothing is written here."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from chimeramix.config.checks import as_user_error
from chimeramix.config.settings import Settings
from chimeramix.data.loader import EpochLoader
from chimeramix.data.segments import SubsetSegments
from chimeramix.data.subset import TrainingImages, epoch_repeats
from chimeramix.data.views import Normalize, Views
from chimeramix.data.whole_images import whole_subset
from chimeramix.errors import UserError
from chimeramix.machine import Machine, check_recordable
from chimeramix.mixing import Mixer
from chimeramix.optimize import Optimisation
from chimeramix.runs import build
from chimeramix.runs.combinations import average_of, check_procedure, check_sharpness, check_views, warn_of_views
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.trained import trained_generator
from chimeramix.runs.tryout import (
    check_generator,
    check_images,
    check_segments,
    check_whole,
    try_augment,
    try_erase,
    try_loss,
    try_model,
    try_schedule,
)
from chimeramix.streams import RunStreams
from chimeramix.training.averages import TrainingAverage
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.evaluation import Evaluator
from chimeramix.training.generator import GeneratorTraining
from chimeramix.training.loop import Training
from chimeramix.training.procedure import Procedure
from chimeramix.types import DataSource, Mask, Subset

_MOST_STEPS = 100_000_000  # a month at 25 ms each


@dataclass(frozen=True)
class Run:
    """What is known of a run before its parts are built.

    Attributes:
        folder: the run's.
        generator: the folder of the generator that a classifier's mixer uses; None where it uses none.
        streams: all that the training draws from.
    """

    settings: Settings
    machine: Machine
    source: DataSource
    folder: RunFolder
    generator: RunFolder | None
    streams: RunStreams


@dataclass(frozen=True)
class Parts:
    """A training that is ready to start, and what the record says of it.

    Attributes:
        weights: the network whose weights are the run's outcome.
        data: the labelled images.
        views: of the labelled images, as the training sees them.
        evaluator: of a classifier; None for a generator.
        streams: all that the training draws from.
    """

    training: Training
    weights: nn.Module
    data: TrainingImages
    views: Views
    evaluator: Evaluator | None
    streams: RunStreams


def parts_of(run: Run) -> Parts:
    """Whatever the run trains. Raises `UserError` for what does not fit, and for a missing generator."""
    parts = generator_parts(run) if run.settings.role == "generator" else classifier_parts(run)
    steps = parts.training.epochs * len(parts.training.loader)
    if steps > _MOST_STEPS:
        stage = "generator." if run.settings.role == "generator" else ""
        raise UserError(
            f"{stage}epochs={parts.training.epochs}: these are {steps:,} steps; set it or "
            f"{stage}epoch_labels_per_class so that there are at most {_MOST_STEPS:,}"
        )
    return parts


def generator_parts(run: Run) -> Parts:
    """A generator and the images, or pairs, that it trains on."""
    config, machine = run.settings.config, run.machine
    check_generator(config, machine)
    check_images(config, run.source.image_size, machine)
    generator = build.generator(config)
    check_recordable(machine.compile, "generator", generator)
    check_recordable(machine.compile, "generator.augment", generator.augment)
    data = build.training_images(config, run.source)
    size = generator.image_size
    subset = data.subset(size)
    try_augment(generator.augment, subset, "generator.augment", size)
    subset += data.unlabelled(size, generator.unlabelled, generator.transductive, "generator")
    views = Views(
        subset.to(machine.device),
        generator.augment,
        _normalize(run),
        run.streams["augment"],
        _segments(run, data, size, generator.mask),
    )
    with as_user_error("generator"):
        training = GeneratorTraining(
            generator=generator,
            views=views,
            repeats=epoch_repeats(generator.epoch_labels_per_class, data.smallest_class),
            streams=run.streams,
            machine=machine,
            folder=run.folder.path,
            pictures_every=config.monitor.pictures_every,
        )
    return Parts(training, generator.network, data, views, None, run.streams)


def classifier_parts(run: Run) -> Parts:
    """A classifier, its batches, mixer and the images that it is evaluated on."""
    config, machine, source, streams = run.settings.config, run.machine, run.source, run.streams
    network = None
    check_images(config, source.image_size, machine)
    if build.needs_generator(config):
        if config.generator is not None:
            check_generator(config, machine)
        network = trained_generator(run.settings, run.generator, machine.device)
    data = build.training_images(config, source)
    augment = build.part(config, "augment")
    check_recordable(machine.compile, "augment", augment)
    mask = build.mask_of(config.mixer)
    subset = _classifier_subset(run, data, augment, mask)
    try_augment(augment, subset, "augment", source.image_size)
    erase = build.part(config, "erase")
    try_erase(erase, source.image_size)
    normalize = _normalize(run)
    segments = _segments(run, data, source.image_size, mask)
    views = Views(subset.to(machine.device), augment, normalize, streams["augment"], segments, erase)
    num_classes = len(data.classes)
    mixer = build.mixer(config, views, streams, num_classes, network, source.image_size)
    _check_masks(mixer, views)

    repeats = epoch_repeats(config.epoch_labels_per_class, data.smallest_class)
    largest = min(config.batch_size, repeats * len(data.labels))
    try_model(config, num_classes, source.image_size, largest, machine)
    model = build.model(config, num_classes).to(machine.device).to(memory_format=machine.memory_format)
    machine.compile_networks(model)
    loader = EpochLoader(views, config.batch_size, repeats, streams["order"])
    loss = build.loss(config, num_classes)
    try_loss(loss, num_classes)
    loss = loss.to(machine.device)
    rule = average_of(config)
    check_sharpness(config, machine)
    check_views(config, source.image_size)
    warn_of_views(config)
    schedule = build.part(config, "schedule")
    try_schedule(schedule)
    with as_user_error("optimizer"):
        optimisation = Optimisation(
            [*model.parameters(), *loss.parameters()],
            build.part(config, "optimizer"),
            schedule,
            config.epochs * len(loader),
            machine,
            getattr(model, "without_weight_decay", tuple)(),  # a library's models don't have it
        )
    known = data.evaluation()
    images, labels = known.images.to(machine.device), known.labels.to(machine.device)
    shown = config.evaluation.views
    evaluator = Evaluator(known.part, known.positions, images, labels, data.classes, normalize, machine, shown)
    training = ClassifierTraining(
        model=model,
        mixer=mixer,
        loss=loss,
        loader=loader,
        optimisation=optimisation,
        evaluator=evaluator,
        epochs=config.epochs,
        evaluate_every=config.monitor.evaluate_every,
        machine=machine,
        folder=run.folder.path,
        predictions=run.folder.predictions,
        sharpness=config.sharpness,
        average=TrainingAverage(rule, model, config.epochs * len(loader), streams) if rule is not None else None,
        median_of=config.evaluation.median_of,
    )
    if config.procedure is None:
        return Parts(training, training.outcome, data, views, evaluator, streams)
    check_procedure(mixer)
    procedure: Procedure = build.part(config, "procedure")
    build.check_kind(procedure, Procedure, config.procedure, "procedure")
    others = None
    if procedure.unlabelled is not None:
        found = data.unlabelled(source.image_size, procedure.unlabelled, procedure.transductive, "procedure")
        seen = found if len(found) else subset  # once more, without their labels
        others = Views(seen.to(machine.device), augment, normalize, streams["augment"], erase=erase)
    with as_user_error("procedure"):
        procedure.check(model, num_classes, source.image_size)
        own = procedure.training(training, streams, others)
    return Parts(own, own.outcome, data, views, evaluator, streams)


def _classifier_subset(run: Run, data: TrainingImages, augment: Any, mask: Mask | None) -> Subset:
    """The images that a classifier trains on, whole ones where the augmentation cuts them itself."""
    size = run.source.image_size
    if not getattr(augment, "needs_whole", False):
        return data.subset(size)
    subset = whole_subset(data, size, augment.longest_side, lambda count: check_whole(count, run.machine))
    if subset.sizes is not None and mask is not None and mask.segmentation is not None:
        raise UserError(
            "augment: superpixels are those of images that are cut to squares, and random resized crops take whole "
            "ones: choose augment=flip_crop"
        )
    return subset


def _check_masks(mixer: Mixer, views: Views) -> None:
    """Raises `UserError` for a mask that gets no superpixels, because it is no key of the mixer's group."""
    for part in mixer.modules():
        mask: Any = getattr(part, "mask", None)
        if views.segments is None and getattr(mask, "segmentation", None) is not None:
            raise UserError(
                f"mixer: the mask that {type(part).__name__} makes needs superpixels, which a run makes for masks of "
                "the configuration only: let the constructor take `mask`, and set mixer.mask"
            )


def _normalize(run: Run) -> Normalize:
    return Normalize(run.source.mean, run.source.std, run.machine.device)


def _segments(run: Run, data: TrainingImages, size: int, mask: Mask | None) -> SubsetSegments | None:
    """The superpixels that a stage's mask needs."""
    if mask is None or mask.segmentation is None:
        return None
    check_segments(len(data.labels), mask.segmentation.size or size, run.machine)
    return SubsetSegments(
        data.images,
        size,
        mask.segmentation,
        run.source.mean,
        run.source.std,
        run.settings.runs_dir / "segments",
        run.settings.config.machine.workers,
        run.machine.device,
    )
