"""`chimeramix evaluate` for the run of a classifier: the record's metrics on its own images, or on other ones."""

import dataclasses
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from chimeramix.data.corrupted import CIFAR10C
from chimeramix.errors import UserError
from chimeramix.evaluate import corruptions, labelled, tables
from chimeramix.evaluate.labelled import LabelledSet, listed
from chimeramix.evaluate.options import ClassifierOptions
from chimeramix.files import write_json
from chimeramix.machine import Machine, memory_errors
from chimeramix.runs.classifier import Classifier, machine_of, read_run
from chimeramix.runs.folder import environment
from chimeramix.runs.record import Record, metrics_of
from chimeramix.terminal import Table, Text
from chimeramix.training.evaluation import Evaluation
from chimeramix.training.evaluation import evaluate as evaluate_network

log = logging.getLogger(__name__)

METRICS = ("accuracy", "top5", "macro_accuracy", "loss")


@dataclass(frozen=True)
class Figures:
    """What an evaluation found.

    Attributes:
        name: of the file that holds it, without `evaluation-` and suffix.
        measured_on: which images, as JSON values.
        titled: tables to print.
        sections: the same values by section, set of images and name, as lines of CSV have them.
        values: as the file has them.
    """

    name: str
    measured_on: dict[str, Any]
    titled: list[Table]
    sections: dict[str, dict[str, dict[str, Any]]]
    values: dict[str, Any]


class Measure:
    """Evaluates a run's classifier on labelled images, in its precision and views.

    Args:
        classifier: will be on the machine's device.
    """

    def __init__(self, classifier: Classifier, machine: Machine) -> None:
        machine.make_reproducible()
        self.blueprint = classifier.blueprint
        self._network = classifier.network.to(machine.device).to(memory_format=machine.memory_format)
        self._normalize = classifier.normalizer(machine.device)
        self._machine = machine

    def __call__(self, images: Tensor, labels: Tensor) -> Evaluation:
        """Of images `[M, 3, S, S]` uint8 and labels `[M]` int64, as the run reads and numbers them."""
        device, views = self._machine.device, self.blueprint.views
        known = images.to(device), labels.to(device), len(self.blueprint.classes)
        return evaluate_network(self._network, *known, self._normalize, self._machine, views=views)[views]

    def describe(self) -> str:
        """How images are classified, for a caption."""
        return f"views: {self.blueprint.views}; {self._machine.precision} on {self._machine.device.type}"


def evaluate(folder: Path, options: ClassifierOptions) -> None:
    """Prints a finished classifier's metrics, and writes `evaluation-DATASET.json` to its folder. The run's own record
    stays as it is.

    Raises:
        UserError: for a folder that is no finished classifier's, and for images and options that don't fit.
        RunFailure: for what this machine lacks, and for a file that can't be written.
    """
    options.check()
    record, config, classifier = read_run(folder)
    machine, note = machine_of(classifier, options.device)
    if note:
        log.warning("%s: %s", folder, note)
    blueprint = classifier.blueprint
    with memory_errors():
        measure = Measure(classifier, machine)
        if options.overrides:
            other, source = labelled.compose(options.overrides, options.config_dir, blueprint.reading)
            if isinstance(source, CIFAR10C):
                found = _on_corrupted(measure, source, options)
            else:
                _check_duplicates(options)
                images = labelled.other_images(other, source, options.overrides, blueprint.classes, blueprint.reading)
                found = _on(images, measure, record, options.per_class)
        else:
            _check_duplicates(options)
            if options.folder is not None:
                images = labelled.folder_images(options.folder, blueprint.classes, blueprint.reading)
            else:
                images = labelled.own_images(folder, record, config, options.images)
            found = _on(images, measure, record, options.per_class, own=options.folder is None)
    tables.show(found.sections, found.titled, options.form)
    values = {
        "identity": record.result["identity"],
        "dataset": record.result["dataset"],
        "method": record.result["method"],
        "measured_on": found.measured_on,
        "reading": dataclasses.asdict(blueprint.reading),
        "views": blueprint.views,
        **found.values,
        "machine": machine.record(),
        "environment": environment(),
    }
    path = folder / f"evaluation-{found.name}.json"
    earlier = " in place of an earlier one" if path.exists() else ""
    write_json(path, values)
    log.info("written: %s%s", path, earlier)


def _on(images: LabelledSet, measure: Measure, record: Record, per_class: bool, own: bool = False) -> Figures:
    evaluation = measure(images.images, images.labels)
    count = len(images.labels)
    values: dict[str, Any] = {"metrics": evaluation.metrics()}
    rows = {images.name: {"images": count, **evaluation.metrics()}}
    if own:
        recorded = metrics_of(record.result)
        values["recorded"] = {key: recorded.get(key) for key in METRICS}
        rows["by the record"] = {"images": count, **values["recorded"]}
    each = zip(measure.blueprint.classes, evaluation.per_class(), strict=True)
    values["per_class"] = {name: _numbers(row) for name, row in each}
    lacking = [name for name, row in values["per_class"].items() if not row["images"]]
    notes = [f"no images of {listed(lacking)}: macro accuracy is the mean over the other classes"] if lacking else []
    part = {"test": "test part", "validation": "held-out images", "folder": "a folder"}[images.part]
    titled = [metrics_table(rows, f"{_title(record)}, evaluated on {images.name}, {part}", measure.describe(), notes)]
    sections = {"metrics": rows}
    if per_class:
        titled.append(_class_table(values["per_class"]))
        sections["per_class"] = values["per_class"]
    measured_on = {
        "data_set": images.name,
        "part": images.part,
        "where": images.where,
        "images": count,
        "classes_without_images": lacking,
    }
    # Beside the test part's, and not in its place.
    name = f"{images.name}-validation" if images.part == "validation" else images.name
    return Figures(name, measured_on, titled, sections, values)


def _on_corrupted(measure: Measure, source: CIFAR10C, options: ClassifierOptions) -> Figures:
    if options.per_class:
        raise UserError("--per-class: is not for corrupted images, whose table has a row for each corruption")
    found = corruptions.measured(source, measure, measure.blueprint, options.without_duplicates)
    measured_on = {
        "data_set": source.name,
        "part": "test",
        "where": " ".join(options.overrides),
        "images_of_each": found.images,
        "left_out": found.left_out,
    }
    sections = found.sections()
    means = {"15 corruptions": sections["mean"]["15 corruptions"]}
    title = f"{source.name}: means over 15 corruptions and 5 severities"
    titled = [metrics_table(means, title, measure.describe(), []), *found.tables()]
    return Figures(source.name, measured_on, titled, sections, sections)


def _check_duplicates(options: ClassifierOptions) -> None:
    if options.without_duplicates:
        raise UserError("--without-duplicates: is for +dataset=corrupted/cifar10 and +dataset=corrupted/cifar100 only")


def metrics_table(rows: Mapping[str, Mapping[str, Any]], title: str, how: str, notes: list[str]) -> Table:
    """A line for each set of images."""
    texts = []
    for name, row in rows.items():
        loss = "–" if row["loss"] is None else f"{row['loss']:.4f}"
        shares = [tables.percent(row[key], 2) for key in METRICS if key != "loss"]
        texts.append([name, f"{row['images']:,}", *shares, loss])
    return Table(
        title=title,
        header=["", "images", "accuracy", "top-5", "macro accuracy", "loss"],
        rows=[list(map(Text, row)) for row in texts],
        caption=f"accuracies in %; macro accuracy: the mean over classes; loss: mean cross entropy in nats; {how}",
        notes=notes,
    )


def _class_table(each: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [name, f"{row['images']:,}", tables.percent(row["accuracy"], 1), tables.percent(row["precision"], 1)]
        for name, row in each.items()
    ]
    return Table(
        title="Classes",
        header=["class", "images", "accuracy", "precision"],
        rows=[list(map(Text, row)) for row in rows],
        caption="in %; precision: share of the images of this prediction that are of the class",
    )


def _numbers(row: Mapping[str, float]) -> dict[str, Any]:
    """Without NaN, which JSON has not."""
    return {name: None if math.isnan(value) else value for name, value in row.items()}


def _title(record: Record) -> str:
    method = record.result["method"]  # `none`, where nothing is mixed and no experiment gives it a name
    name = record.result["model"] if method in (None, "none") else method
    return f"{name or 'this run'}, trained on {record.result['dataset']}"
