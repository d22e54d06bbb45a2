"""The finished classifier runs below a folder, as the report sees them."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from chimeramix.errors import RunFailure, UserError
from chimeramix.runs.record import (
    DamagedRecord,
    FoundRun,
    Record,
    evaluated_part,
    find_runs,
    metrics_of,
    read_record,
    read_spec,
    without_copies,
)
from chimeramix.runs.spec import identity_of
from chimeramix.terminal import counted

log = logging.getLogger(__name__)

METRICS = ("accuracy", "top5", "macro_accuracy", "accuracy_median")


def epochs_of(metric: str) -> str:
    """Which epochs a metric is of, for captions."""
    return "last epochs" if metric == "accuracy_median" else "last epoch"


_POLICIES = {"autoaugment": "AutoAugment", "trivialaugment": "TrivialAugment"}


class Draw(NamedTuple):
    """What tells the runs of one result apart: its seeds, and which images it learns from and is evaluated on.

    Attributes:
        split: number of the published split; -1 for a drawn one.
        fold: that was held out; -1 for none.
        cut_seed: `validation.seed`; -1 where nothing depends on it.
    """

    seed: int
    split_seed: int
    split: int = -1
    fold: int = -1
    cut_seed: int = -1

    @property
    def subset(self) -> tuple[int, int]:
        """Which labelled images were drawn; with a published split nothing is drawn by the split seed."""
        return (self.split_seed if self.split < 0 else -1), self.split

    @classmethod
    def of(cls, record: Record) -> "Draw":
        split, validation = record.spec.get("split") or {}, record.spec.get("validation") or {}
        fold = validation.get("fold")
        return cls(
            record.result["seed"],
            record.result["split_seed"],
            split.get("number", -1),
            -1 if fold is None else fold,
            validation.get("seed", -1),
        )


@dataclass(frozen=True)
class FinishedRun:
    """A finished classifier run.

    Attributes:
        dataset: `dataset.name`.
        samples_per_class: None for all.
        name: the method, with what was added to the standard augmentation, steps, weights and views.
        variant: the end of that name which is about weights and views.
        part: on which it was evaluated, `test` or `validation` (images that were held out).
        held_out: which images were held out, in words; None for a run that was tested.
        score: the metric of the last epoch's weights on that whole part, in percent.
        record: the content of `result.json`.
        settings: identity of its configuration and precision, without its draw and samples per class.
        identity: of the run.
    """

    folder: Path
    dataset: str
    model: str
    samples_per_class: int | None
    name: str
    variant: str
    draw: Draw
    part: str
    held_out: str | None
    score: float
    record: dict[str, Any]
    settings: str
    identity: str

    @property
    def seed(self) -> int:
        return self.draw.seed

    @property
    def split_seed(self) -> int:
        return self.draw.split_seed


@dataclass(frozen=True)
class Store:
    """The runs of a folder.

    Attributes:
        settings: the configurations that `FinishedRun.settings` names.
        unfinished: number of classifier folders without a result.
        damaged: what is wrong with the records that are left out, a line each.
        generators: folders of generators by identity.
    """

    runs: list[FinishedRun]
    settings: dict[str, dict[str, Any]]
    unfinished: int
    damaged: list[str]
    generators: Mapping[str | None, Path] = field(default_factory=dict)


def read_store(folder: Path, metric: str = "accuracy") -> Store:
    """All classifier runs below a folder.

    Args:
        metric: one of `METRICS`.

    A run counts once, whatever its folders are called and however many there are of it; copies are named in the log.

    Raises:
        UserError: where there is no such folder, or no finished run with that metric.
        RunFailure: where all finished runs are damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the machine.runs_dir of your runs")
    found, copies = without_copies(_run_folders(folder))
    for copy, original in copies:
        if copy.role == "classifier":
            log.warning("%s is a copy of the run in %s: counted once", copy.path, original.path)
    generators = {run.identity: run.path for run in found if run.role == "generator"}
    known: dict[str, Any] = {}  # a generator's settings, which many classifiers share
    identities: dict[str, str] = {}
    runs, settings, damaged, unfinished, lacking = [], {}, [], 0, 0
    for run in sorted((run for run in found if run.role == "classifier"), key=lambda run: run.path):
        try:
            record = read_record(run.path)
            if record is None:
                unfinished += 1
                continue
            generator = record.spec.get("generator")
            if generator is not None and generator not in known:
                known[generator] = _generator_settings(generators.get(generator))
        except DamagedRecord as error:
            damaged.append(str(error))
            continue
        if metric not in metrics_of(record.result):
            lacking += 1
            continue
        common = {**_common(record.spec), "generator": None if generator is None else known[generator]}
        common["machine"] = {"precision": record.precision}  # runs of another one are not averaged with these
        text = json.dumps(common, sort_keys=True)
        if text not in identities:  # computing them takes a third of the report
            identities[text] = identity_of(common)
            settings[identities[text]] = common
        runs.append(_run(run.path, record, metric, identities[text]))
    if lacking:
        without = f"{counted(lacking, 'finished run')} without {metric}, which runs record with evaluation.median_of=10"
        if not runs:
            raise UserError(f"{folder}: {without}, and none with it")
        log.warning("left out: %s", without)
    if not runs and damaged:
        raise RunFailure("; ".join(damaged))
    if not runs:
        raise UserError(f"{folder}: no finished classifier run in this folder")
    return Store(runs, settings, unfinished, damaged, generators)


def _run_folders(folder: Path) -> Iterator[FoundRun]:
    """The runs below a folder; what lies in their folders is not walked through."""
    for path, names, _ in os.walk(folder):
        for role in ("classifier", "generator"):
            if role in names:
                names.remove(role)
                yield from find_runs(Path(path) / role)
        names[:] = sorted(name for name in names if name not in ("sweeps", "segments"))


def _generator_settings(folder: Path | None) -> Any:
    """A generator's configuration and precision, which tell whether the classifiers of two seeds are one method: its
    identity holds its seed. `removed` where its folder is gone."""
    spec = read_spec(folder) if folder is not None else None
    if folder is None or spec is None:
        return "removed"
    record = read_record(folder)
    return {**(spec.get("generator") or {}), "precision": record.precision if record is not None else "unknown"}


def _common(spec: dict[str, Any]) -> dict[str, Any]:
    """What runs of one result share: all but their draws."""
    values = {key: value for key, value in spec.items() if key not in ("seed", "split_seed", "max_labels_per_class")}
    if split := spec.get("split"):
        values["split"] = {key: value for key, value in split.items() if key != "number"}
    if validation := spec.get("validation"):
        kind = "extra" if validation["extra"] else "published" if validation["published"] else "folds"
        values["validation"] = {kind: validation[kind]}
    return values


def _held_out(spec: dict[str, Any]) -> str | None:
    """How images were held out; which fold it was tells a run's draw."""
    validation = spec.get("validation")
    if not validation:
        return None
    if validation["extra"]:
        return f"{counted(validation['extra'], 'further image')} per class, which are more labels"
    return "the split's own validation part" if validation["published"] else f"a fold of {validation['folds']}"


def _run(folder: Path, record: Record, metric: str, settings: str) -> FinishedRun:
    result = record.result
    return FinishedRun(
        folder=folder,
        dataset=result["dataset"],
        model=result["model"] or "no model",
        samples_per_class=result["max_labels_per_class"],
        name=_name(result["method"] or "no name", result["augment"]) + _sharpness(record.spec) + _variant(record.spec),
        variant=_variant(record.spec),
        draw=Draw.of(record),
        part=evaluated_part(result),
        held_out=_held_out(record.spec),
        score=100 * metrics_of(result)[metric],
        record=result,
        settings=settings,
        identity=result["identity"],
    )


def _name(method: str, augment: str) -> str:
    """`ChimeraMix+Grid + TrivialAugment`; the standard augmentation, and an erasing that is the method, are not
    named."""
    known = {"flipcrop", _letters(method.partition(" (")[0])}
    parts = [part for part in augment.split(" + ") if _letters(part) not in known]
    added = [part for part in parts if f"erase={part}" not in method]
    return " + ".join([method, *(_POLICIES.get(part, part) for part in added)])


def _sharpness(spec: dict[str, Any]) -> str:
    return " + SAM" if spec.get("sharpness") is not None else ""


def _variant(spec: dict[str, Any]) -> str:
    """Which weights and views a run's figures are of, where these are not the plain ones: ` + EMA + flip views`."""
    found = []
    average = spec.get("average")
    if average and average.get("result") != "plain":
        found.append(str(average.get("_target_", "average")).rsplit(".", 1)[-1])
    views = (spec.get("evaluation") or {}).get("views", "plain")
    return "".join(f" + {name}" for name in (found if views == "plain" else [*found, f"{views} views"]))


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
