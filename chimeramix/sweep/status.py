"""`chimeramix status`: how far the runs of a folder are, and the commands that finish the rest."""

import logging
import re
import shlex
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.config.place import entry_point
from chimeramix.errors import RunFailure, UserError
from chimeramix.runs.commands import to_repeat, train_command
from chimeramix.runs.record import DamagedRecord, FoundRun, find_runs, read_record, read_spec, without_copies
from chimeramix.runs.spec import size_name, size_order
from chimeramix.runs.state import DamagedStatus, RunStatus
from chimeramix.sweep.plan import PlannedRun, count_states, queue_of, read_plans, states_of
from chimeramix.terminal import Table, Text, counted, print_table, time_text

if TYPE_CHECKING:
    from chimeramix.config.sweep import Sweep

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<dataset>.+)-n(?P<count>\d+|all)-(?P<method>.+)-s(?P<seed>\d+)-[0-9a-f]{12}")
_ENTRY_POINT = re.compile(r"(?:.*/)?train_(generator|classifier)\.py|train-(generator|classifier)")
_MOST_LISTED = 40

State = tuple[str, RunStatus | None]


def runs_below(folder: Path) -> tuple[list[PlannedRun], dict[str, str]]:
    """All runs of a folder and, of those that belong to a recorded sweep, that sweep's command by identity.

    Raises:
        UserError: where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the machine.runs_dir of your runs")
    runs: dict[str, PlannedRun] = {}
    commands: dict[str, str] = {}
    for sweep in read_plans(folder / "sweeps"):
        again = f"{train_command(sweep['role'], to_repeat(sweep['overrides']))} --multirun"
        command = sweep["command"] or again
        for entry in sweep["cells"]:
            # The name within this folder, wherever it lay when the sweep began.
            place = folder / entry["role"] / Path(entry["folder"]).name
            identity = entry.get("identity") or place.name.rsplit("-", 1)[-1]  # of a version that wrote none
            generator = entry.get("generator", "")  # earlier versions wrote none
            runs[identity] = PlannedRun(place, entry["role"], entry["columns"], entry["command"], identity, generator)
            commands[identity] = command
    for role in ("generator", "classifier"):
        found, copies = without_copies(find_runs(folder / role))
        for run in found:
            identity = run.identity or ""
            known = runs.get(identity) or PlannedRun(run.path, role, _columns(run), "", identity)
            runs[identity or str(run.path)] = replace(known, folder=run.path)
        for copy, original in copies:
            log.warning("%s is a copy of the run in %s: counted once", copy.path, original.path)
    if not runs:
        raise UserError(f"{folder}: no run in this folder")
    return list(runs.values()), commands


def runs_of_command(folder: Path, words: list[str]) -> tuple[list[PlannedRun], dict[str, str]]:
    """The runs of a sweep given as its command, `train_classifier.py +dataset=... seed=0,1` or `train-classifier ...`,
    in a folder of runs.

    Raises:
        UserError: for what is no such command.
    """
    from chimeramix.config.compose import read_command_line
    from chimeramix.config.sweep import read_sweep
    from chimeramix.config.tree import tree_of
    from chimeramix.sweep.plan import plan

    role, rest = split_command(words)
    if not role:
        given = rest[0] if rest else "no words"
        name = entry_point("classifier")
        raise UserError(f"{given}: give the sweep's axes as its command: {name} +dataset=... seed=0,1")
    options = read_command_line(rest)
    overrides = [word for word in to_repeat(options.overrides) if not word.startswith("machine.runs_dir=")]
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    overrides.append(f"machine.runs_dir='{quoted}'")
    tree, overrides = tree_of(role, overrides, options.config_dir, options.config_name)
    runs = plan(read_sweep(tree, overrides)).runs
    command = f"{train_command(role, tree.options + overrides)} --multirun"
    return runs, {run.identity: command for run in runs}


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """The role and the other words of `[python] train_<role>.py ...` or `[chimeramix] train-<role> ...`; no role where
    it is no such command."""
    words = words[1:] if words[:1] in (["python"], ["python3"], ["chimeramix"]) else words
    found = _ENTRY_POINT.fullmatch(words[0]) if words else None
    return (found[1] or found[2], words[1:]) if found else ("", words)


def preview(sweep: "Sweep") -> None:
    """Prints a sweep's runs, one a line: state, folder, and the overrides that the folder's name does not tell.

    Raises:
        UserError: where a data set can't be used.
    """
    from chimeramix.sweep.plan import plan

    planned = plan(sweep)
    states = states_of(planned.runs)
    for run, (state, _) in zip(planned.runs, states, strict=True):
        print(f"{state:11} {run.role}/{run.folder.name}  {run.columns['changes']}".rstrip())
    nothing = f"; {planned.nothing} of {planned.combinations} combinations train nothing" if planned.nothing else ""
    print(f"{counted(len(planned.runs), 'run')}: {count_states(states)}{nothing}")


def show(folder: Path, words: list[str]) -> None:
    """Prints counts by data set, method and samples per class, what is unfinished and why, and how to finish it."""
    runs, commands = runs_of_command(folder, words) if words else runs_below(folder)
    try:
        queue = queue_of(folder / "sweeps")
    except ConnectionError as error:
        print(f"{error}: runs that wait in it are shown as missing")
        queue = {}
    rows = list(zip(runs, states_of(runs, queue), strict=True))
    for role in ("generator", "classifier"):
        chosen = [(run, state) for run, state in rows if run.role == role]
        if chosen:
            counts = count_states([state for _, state in chosen])
            print_table(_counts(f"{role}s: {counts}", [(run, state) for run, (state, _) in chosen]))
    begun = [(run, *state) for run, state in rows if state[0] in ("running", "interrupted", "failed")]
    if begun:
        print_table(_unfinished(begun))
    rest = _commands(rows, commands)
    if rest:
        print("To finish the rest:")
        for line in rest[:_MOST_LISTED]:
            print(f"  {line}")
        if len(rest) > _MOST_LISTED:
            print(f"  ... and {len(rest) - _MOST_LISTED} more")
    damaged = [f"{run.folder}: {status.reason}" for run, (_, status) in rows if isinstance(status, DamagedStatus)]
    for line in damaged[1:]:
        log.error("error: %s", line)
    if damaged:
        raise RunFailure(damaged[0])


def _columns(run: FoundRun) -> dict[str, Any]:
    """What the folder tells of a run that belongs to no recorded sweep."""
    name = _NAME.fullmatch(run.path.name)
    if name is not None:
        count = name["count"]
        given = [name["dataset"], name["method"], None if count == "all" else int(count), int(name["seed"])]
    else:  # renamed or copied
        given = ["?", run.path.name, None, 0]
        with suppress(DamagedRecord, KeyError, TypeError):
            spec = read_spec(run.path) or {}
            given = [str(spec["dataset"]["name"]), run.path.name, spec["max_labels_per_class"], spec["seed"]]
            record = read_record(run.path)
            if record is not None:
                given[1] = record.result.get("experiment") or record.result["method"] or given[1]
    return dict(zip(("dataset", "experiment", "max_labels_per_class", "seed", "changes"), [*given, ""], strict=True))


def _counts(title: str, runs: list[tuple[PlannedRun, str]]) -> Table:
    """`4/5` for each data set, method and number of samples: done, and in all."""
    sizes = sorted({run.columns["max_labels_per_class"] for run, _ in runs}, key=size_order)
    found: dict[tuple[str, str], dict[int | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run, state in runs:
        method = f"{run.columns['experiment']} {_variant(run)}".strip()
        found[run.columns["dataset"], method][run.columns["max_labels_per_class"]].append(state)
    rows = [
        [Text(dataset), Text(method), *(_fraction(states[size]) for size in sizes)]
        for (dataset, method), states in sorted(found.items())
    ]
    header = ["data set", "method", *(size_name(size) for size in sizes)]
    return Table(title, header, rows, left=2)


def _variant(run: PlannedRun) -> str:
    """The overrides that may tell a run from others of its data set, method, number and seed."""
    return str(run.columns["changes"]) if len(str(run.columns["changes"])) <= 40 else ""


def _fraction(states: list[str]) -> Text:
    if not states:
        return Text("")
    done = states.count("done")
    return Text(f"{done}/{len(states)}", bold=done < len(states))


def _unfinished(runs: list[tuple[PlannedRun, str, RunStatus | None]]) -> Table:
    rows = []
    for run, state, status in runs[:_MOST_LISTED]:
        known = status or RunStatus(state, run.command)
        texts = [
            f"{run.role}/{run.folder.name}",
            (known.reason or "") if state != "running" else "",
            state,
            f"{known.step:,} of {known.steps:,}" if known.steps else "",
            "" if known.loss is None else f"{known.loss:.4f}",
            "" if known.accuracy is None else f"{100 * known.accuracy:.2f} %",
            _left(known.seconds_left) if state == "running" else "",
        ]
        rows.append([Text(text) for text in texts])
    caption = f"... and {len(runs) - _MOST_LISTED} more" if len(runs) > _MOST_LISTED else ""
    return Table("Unfinished", ["run", "reason", "state", "step", "loss", "accuracy", "left"], rows, caption, left=2)


def _left(seconds: float | None) -> str:
    return "?" if seconds is None else time_text(seconds)


def _commands(rows: list[tuple[PlannedRun, State]], commands: dict[str, str]) -> list[str]:
    """The commands that do what is neither done, running nor queued: a sweep's once, then those of single runs. A
    generator that a sweep's classifiers train before themselves needs none."""
    rest = [
        (run, status)
        for run, (state, status) in rows
        if state in ("missing", "interrupted", "failed") and not (status and (status.paused or status.failed_trial))
    ]
    on_the_way = {run.generator for run, _ in rest if run.generator and run.identity in commands}
    lines: dict[str, None] = {}
    for run, status in rest:
        line = commands.get(run.identity)
        if line is None and run.identity not in on_the_way:
            line = status.command if status and status.command else run.command
        if line:
            lines[line] = None
    return sorted(lines, key=lambda line: shlex.split(line)[-1] != "--multirun")
