"""What a sweep has to do: its runs, each once, with the state of their folders."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.config.schema import Config
from chimeramix.config.settings import Settings
from chimeramix.config.sweep import Sweep
from chimeramix.files import write_json
from chimeramix.runs.commands import resume_command
from chimeramix.runs.folder import folders_in
from chimeramix.runs.state import STATES, RunStatus, read_state
from chimeramix.sweep import slurm

if TYPE_CHECKING:
    from chimeramix.data.splits import Split
    from chimeramix.types import DataSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """What is known of a sweep's run, trained or not.

    Attributes:
        folder: the run's folder, there or not.
        columns: what tables show of it: data set, method, samples per class, seed, ...
        command: trains this run alone.
        identity: the run's; empty where nothing tells it.
        generator: identity of the generator that it uses, and trains before itself in a sweep; empty without one.
        settings, source: what trains it, and its data set; None for a run that is known from files alone.
    """

    folder: Path
    role: str
    columns: dict[str, Any]
    command: str
    identity: str = ""
    generator: str = ""
    settings: Settings | None = None
    source: "DataSource | None" = None


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep.

    Attributes:
        runs: each once, though several combinations may share it (experiments with one generator).
        combinations: number of the overrides' combinations.
        nothing: how many of those have nothing to train (experiments without a generator).
        of_each: the run of each combination, None where there is nothing to train.
    """

    runs: list[PlannedRun]
    combinations: int
    nothing: int
    of_each: list[PlannedRun | None]


def plan(sweep: Sweep) -> Plan:
    """Finds the folder of each run.

    Raises:
        UserError: where a data set can't be used, or has fewer images than a run asks for, as far as it says so without
            being downloaded.
    """
    from chimeramix.runs import build  # torch is imported only when there is something to plan
    from chimeramix.runs.train import folders_of, trains_nothing

    sources: dict[str, tuple[DataSource, dict[str, Any], Sequence[int] | None]] = {}
    existing: dict[Path, dict[str, Path]] = {}
    found: dict[str, PlannedRun] = {}
    of_each: list[PlannedRun | None] = []
    for settings in sweep.runs:
        if trains_nothing(settings):
            of_each.append(None)
            continue
        config = settings.config
        data = json.dumps([config.dataset, config.machine.data_dir, config.validation.asked], sort_keys=True)
        if data not in sources:  # reading the listing of a folder of images takes seconds
            source = build.source(config)
            sources[data] = source, source.facts(), build.class_sizes(source)
        source, facts, class_sizes = sources[data]
        if class_sizes is not None:
            _check_counts(config, settings.role, class_sizes)
        runs_dir = settings.runs_dir
        if runs_dir not in existing:
            existing[runs_dir] = folders_in(runs_dir)
        folder, generator = folders_of(settings, facts, existing[runs_dir])
        run = PlannedRun(
            folder.path,
            settings.role,
            columns_of(settings),
            command=resume_command(settings.role, settings.overrides),
            identity=folder.identity,
            generator=generator.identity if generator is not None else "",
            settings=settings,
            source=source,
        )
        of_each.append(found.setdefault(folder.identity, run))
    return Plan(list(found.values()), len(sweep.runs), of_each.count(None), of_each)


def _check_counts(config: Config, role: str, class_sizes: Sequence[int]) -> None:
    """Raises `UserError` for more images than there are."""
    from chimeramix.data.subset import check_counts, check_split_size
    from chimeramix.data.validation import check_folds
    from chimeramix.runs import build

    uses_generator = role == "generator" or build.needs_generator(config)
    groups = {
        "generator": config.generator if uses_generator else None,
        "procedure": config.procedure if role == "classifier" else None,
    }
    unlabelled = {group: values.get("unlabelled", 0) for group, values in groups.items() if values is not None}
    name, per_class, held_out = config.dataset["name"], config.max_labels_per_class, config.validation
    check_counts(class_sizes, per_class, held_out.extra or 0, unlabelled, name)
    split: Split | None = build.part(config, "split")
    if split is not None:
        check_split_size(per_class, split.per_class)
    if held_out.fold is not None:
        check_folds(held_out.folds, per_class or min(class_sizes), f"a class of {name}")


_SHOWN = ("dataset=", "experiment=", "max_labels_per_class=", "seed=")  # in columns of their own
_CHANGES_NO_NUMBER = ("machine.", "monitor.", "wandb.", "sweep.", "hydra", "rerun=", "--config-dir=")


def columns_of(settings: Settings) -> dict[str, Any]:
    """What tells a sweep's runs apart at a glance; `changes` holds the overrides without a column of their own."""
    config = settings.config
    others = [word for word in settings.overrides if not word.lstrip("+").startswith((*_SHOWN, *_CHANGES_NO_NUMBER))]
    return {
        "dataset": config.dataset["name"],
        "experiment": settings.names.get("experiment") or "",
        "max_labels_per_class": config.max_labels_per_class,
        "seed": config.seed,
        "changes": " ".join(others),
    }


def states_of(runs: list[PlannedRun], queue: Mapping[str, str] | None = None) -> list[tuple[str, RunStatus | None]]:
    """The state of each run; `queue` holds the state of its job in Slurm's queue by identity. A run is `queued` where
    its job waits, or has started and the run has not."""
    states = []
    for run in runs:
        state, status = read_state(run.folder)
        job = (queue or {}).get(run.identity, "COMPLETING")
        waits = job not in ("RUNNING", "COMPLETING") and state in ("missing", "interrupted", "failed")
        starts = job == "RUNNING" and (state == "missing" or (status is not None and status.state == "started"))
        states.append(("queued" if waits or starts else state, status))
    return states


def count_states(states: list[tuple[str, RunStatus | None]]) -> str:
    """`3 done, 1 failed`, in a fixed order."""
    counts = Counter(state for state, _ in states)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "0 done"


def write_plan(folder: Path, sweep: Sweep, runs: list[PlannedRun]) -> None:
    """`sweep.json`: from which `chimeramix status` knows what belongs to the sweep."""
    cells = [
        {
            "folder": str(run.folder.absolute()),
            "role": run.role,
            "columns": run.columns,
            "command": run.command,
            "identity": run.identity,  # a run's folder may be renamed
            "generator": run.generator,
        }
        for run in runs
    ]
    content = {
        "role": sweep.role,
        "overrides": sweep.overrides,
        "cells": cells,
        "jobs": {},
    }
    if sweep.command:
        content["command"] = sweep.command
    write_json(folder / "sweep.json", content)


def read_plans(sweeps: Path) -> list[dict[str, Any]]:
    """The content of each `sweep.json` in a folder of sweeps, oldest first; a damaged one is named and left out."""
    plans = []
    for path in sorted(sweeps.glob("*/sweep.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {key: content[key] for key in ("role", "overrides", "cells", "jobs")}
            plans.append({**known, "command": content.get("command")})
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s is damaged: what that sweep planned is not known", path)
    return plans


def queue_of(sweeps: Path) -> dict[str, str]:
    """The state (`PENDING`, `RUNNING`, ...) in Slurm's queue of each run's job, by the run's identity, of all sweeps in
    a folder. Raises `ConnectionError` where Slurm does not answer."""
    jobs: dict[str, list[str]] = {}
    for planned in read_plans(sweeps):
        jobs.update(planned["jobs"])
    numbers = slurm.queue() if jobs else {}
    return {identity: numbers[number] for number, members in jobs.items() if number in numbers for identity in members}
