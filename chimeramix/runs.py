"""One run from its settings to its result: identity, folder, parts, training, record."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from chimeramix import build
from chimeramix.config import Settings
from chimeramix.config_check import as_user_error
from chimeramix.data.loader import EpochLoader
from chimeramix.data.subset import epoch_repeats
from chimeramix.data.views import Normalize, Views
from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation
from chimeramix.run_folder import RunFolder
from chimeramix.spec import FORMAT, classifier_spec, generator_spec, identity_of
from chimeramix.streams import RunStreams
from chimeramix.trained_generator import load_generator
from chimeramix.training.checkpoint import load_checkpoint, write_atomically
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.evaluation import Evaluation, evaluate
from chimeramix.training.generator import GeneratorTraining
from chimeramix.training.loop import Training, fit
from chimeramix.training.metrics import read_metrics
from chimeramix.training.pictures import draw_curves
from chimeramix.training.tracking import Tracker, WandbTracker
from chimeramix.types import DataSource, Mask

log = logging.getLogger(__name__)


def train(settings: Settings) -> None:
    """Trains what the settings say, or reports it where it is finished, or goes on where it was interrupted.

    Raises:
        UserError: for a mistake of the user's, before anything is written.
        RunFailure, Interrupted: see `chimeramix.training.loop.fit`.
    """
    values = settings.values
    if settings.role == "generator" and values["generator"] is None:
        log.info("%s trains no generator: nothing to do", settings.names.get("experiment") or "this configuration")
        return
    machine = Machine.choose(values["machine"]["device"], values["machine"]["precision"], values["machine"]["compile"])
    source = build.source(values)
    facts = source.facts()
    generator_identity = None
    spec = generator_spec(values, facts)
    if settings.role == "classifier":
        if build.mixer_class(values).needs_generator:
            generator_identity = identity_of(spec)
        spec = classifier_spec(values, facts, generator_identity)
    folder = RunFolder(Path(values["machine"]["runs_dir"]).expanduser(), spec, _readable_name(settings))
    if not values["rerun"] and _report_if_finished(folder):
        return

    machine.make_reproducible()
    run = _Run(settings, machine, source, facts, folder, RunStreams(values["seed"], machine.device))
    parts = _generator_parts(run) if settings.role == "generator" else _classifier_parts(run)
    with folder.lock():
        if values["rerun"]:
            folder.clear()
        elif _report_if_finished(folder):  # another process finished it while this one waited
            return
        checkpoint = folder.path / "checkpoint.pt"
        if checkpoint.exists():
            load_checkpoint(checkpoint, folder.identity)  # refuses a damaged one before anything is written
        _train_in_folder(run, parts, generator_identity)


@dataclass
class _Run:
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
class _Parts:
    """A training that is ready to start, and what the record tells about it."""

    training: Training
    weights: torch.nn.Module
    data: build.TrainingImages
    views: Views
    mask: Mask | None
    num_test: int | None


def _generator_parts(run: _Run) -> _Parts:
    generator = build.generator(run.values)
    data = build.training_images(run.source, run.values)
    subset = build.subset(data, generator.image_size)
    build.try_augment(generator.augment, subset, "generator.augment")
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
    return _Parts(training, generator.network, data, views, generator.mask, None)


def _classifier_parts(run: _Run) -> _Parts:
    values, machine, source = run.values, run.machine, run.source
    network = None
    if build.mixer_class(values).needs_generator:
        network = load_generator(run.settings, run.facts, machine)
    data = build.training_images(source, values)
    augment = build.part(values, "augment")
    subset = build.subset(data, source.image_size)
    build.try_augment(augment, subset, "augment")
    views = build.views(subset.to(machine.device), augment, source, run.streams)
    num_classes = len(data.classes)
    mixer = build.mixer(values, views, run.streams, num_classes, network)

    model = build.model(values, num_classes).to(machine.device)
    if machine.compile:
        model.compile()
    repeats = epoch_repeats(values["epoch_labels_per_class"], data.smallest_class)
    loader = EpochLoader(views, values["batch_size"], repeats, run.streams["order"])
    with as_user_error("optimizer"):
        optimisation = Optimisation(
            model.parameters(),
            build.part(values, "optimizer"),
            build.part(values, "schedule"),
            values["epochs"] * len(loader),
            machine,
        )
    test = source.test()
    test_images = test.read(range(len(test.labels))).to(machine.device)
    test_labels = test.labels.to(machine.device)
    normalize = Normalize(source.mean, source.std, machine.device)

    def evaluate_on_test(model: torch.nn.Module) -> Evaluation:
        return evaluate(model, test_images, test_labels, num_classes, normalize, machine)

    training = ClassifierTraining(
        model,
        mixer,
        build.part(values, "loss").to(machine.device),
        loader,
        optimisation,
        values["epochs"],
        evaluate_on_test,
        values["monitor"]["evaluate_every"],
        data.classes,
        machine,
        run.folder.path,
    )
    return _Parts(training, model, data, views, getattr(mixer, "mask", None), len(test.labels))


def _train_in_folder(run: _Run, parts: _Parts, generator_identity: str | None) -> None:
    values, folder, data = run.values, run.folder, parts.data
    config = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    folder.describe(config, data.split(values["split_seed"]), run.machine.describe())
    with _log_file(folder.path / "train.log"):
        log.info(
            "%s: %d images of %d classes, %s", folder.path, len(data.labels), len(data.classes), run.machine.device
        )
        size, cache = parts.views.subset.images.shape[-1], folder.path.parent.parent / "segments"
        segments = build.segments(data, size, parts.mask, run.source, cache, values["machine"]["workers"])
        if segments is not None:
            parts.views.attach_segments(segments)
        if values["wandb"]["mode"] != "disabled":
            run.tracker = WandbTracker(
                values["wandb"], folder.identity, folder.name, run.settings.role, folder.path, values
            )
        last = fit(
            parts.training,
            run.streams,
            folder.path,
            folder.identity,
            run.machine,
            run.tracker,
            values["monitor"]["checkpoint_seconds"],
        )
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parts.weights.state_dict().items()}
        metadata = {"identity": folder.identity}
        write_atomically(folder.weights, lambda path: save_file(tensors, path, metadata))
        result = _result(run, parts, generator_identity, last)
        if run.settings.role == "classifier":
            curves = folder.path / "accuracy.png"
            draw_curves(read_metrics(folder.path / "metrics.jsonl"), curves, folder.name)
            run.tracker.log_image("confusion", folder.path / "confusion.png")
        run.tracker.finish(result["test"] or {})
        folder.finish(result, values["monitor"]["keep_checkpoint"])
        log.info("%s", _summary(folder, result))


def _result(run: _Run, parts: _Parts, generator_identity: str | None, last: dict[str, Any]) -> dict[str, Any]:
    values, names = run.values, run.settings.names
    return {
        "format": FORMAT,
        "role": run.settings.role,
        "dataset": values["dataset"]["name"],
        "experiment": names.get("experiment"),
        "method": values["method"] or names.get("experiment") or names.get("mixer"),
        "augment": _chosen(run.settings, "augment"),
        "model": _chosen(run.settings, "model" if run.settings.role == "classifier" else "generator"),
        "max_labels_per_class": values["max_labels_per_class"],
        "seed": values["seed"],
        "split_seed": values["split_seed"],
        "identity": run.folder.identity,
        "generator_identity": generator_identity,
        "epochs": last["epoch"],
        "steps": last["step"],
        "seconds": last["seconds"],
        "device": run.machine.describe(),
        "num_train": len(parts.data.labels),
        "num_test": parts.num_test,
        "test": last.get("test"),
    }


def _chosen(settings: Settings, group: str) -> str | None:
    """The group's option with what the command line changed in it: `wideresnet_16_8 (width=2)`."""
    own = (word.lstrip("+") for word in settings.overrides)
    changes = [word.removeprefix(f"{group}.") for word in own if word.startswith(f"{group}.")]
    name = settings.names.get(group)
    return f"{name} ({', '.join(changes)})" if name and changes else name


def _report_if_finished(folder: RunFolder) -> bool:
    result = folder.result()
    if result is not None:
        log.info("done already: %s", _summary(folder, result))
    return result is not None


def _summary(folder: RunFolder, result: dict[str, Any]) -> str:
    if result["test"] is None:
        return f"{folder.path}: generator trained for {result['steps']} steps in {result['seconds']:.0f} s"
    return (
        f"{folder.path}: test accuracy {100 * result['test']['accuracy']:.2f} % on {result['num_test']} images "
        f"after {result['steps']} steps in {result['seconds']:.0f} s"
    )


def _readable_name(settings: Settings) -> str:
    values, names = settings.values, settings.names
    count = values["max_labels_per_class"]
    method = names.get("experiment") or names.get("mixer") or "run"
    name = f"{values['dataset']['name']}-n{'all' if count is None else count}-{method}-s{values['seed']}"
    return name.replace("/", "_")


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Copies the package's log lines into the run folder while the run lasts."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("chimeramix")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
