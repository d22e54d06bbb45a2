"""`chimeramix status`: how far the runs of a folder are, and the commands that finish the rest."""

import logging
import re
import shlex
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from chimeramix.errors import RunFailure, UserError
from chimeramix.runs.commands import to_repeat, train_command
from chimeramix.runs.record import DamagedRecord, FoundRun, find_runs, read_record, read_spec, without_copies
from chimeramix.runs.spec import size_name, size_order
from chimeramix.runs.state import DamagedStatus, RunStatus
from chimeramix.sweep.plan import Cell, count_states, queue_of, read_plans, states_of
from chimeramix.terminal import Table, Text, print_table

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<dataset>.+)-n(?P<count>\d+|all)-(?P<method>.+)-s(?P<seed>\d+)-[0-9a-f]{12}")
_MOST_TOLD = 40

State = tuple[str, RunStatus | None]


def cells_below(runs: Path) -> tuple[list[Cell], dict[str, str]]:
    """All runs of a folder and, of those that belong to a recorded sweep, that sweep's command by identity.

    Raises:
        UserError: where there is no such folder, or no run in it.
    """
    if not runs.is_dir():
        raise UserError(f"{runs}: no such folder; name the machine.runs_dir of your runs")
    cells: dict[str, Cell] = {}
    commands: dict[str, str] = {}
    for sweep in read_plans(runs / "sweeps"):
        command = train_command(sweep["role"], to_repeat(sweep["overrides"]))
        for entry in sweep["cells"]:
            # The name within this folder, wherever it lay when the sweep began.
            folder = runs / entry["role"] / Path(entry["folder"]).name
            identity = entry.get("identity") or folder.name.rsplit("-", 1)[-1]  # of a version that wrote none
            cells[identity] = Cell(folder, entry["role"], entry["columns"], entry["command"], identity)
            commands[identity] = f"{command} --multirun"
    for role in ("generator", "classifier"):
        found, copies = without_copies(find_runs(runs / role))
        for run in found:
            identity = run.identity or ""
            known = cells.get(identity)
            columns, command = (known.columns, known.command) if known else (_columns(run), "")
            cells[identity or str(run.path)] = Cell(run.path, role, columns, command, identity)
        for copy, original in copies:
            log.warning("%s is a copy of the run in %s: counted once", copy.path, original.path)
    if not cells:
        raise UserError(f"{runs}: no run in this folder")
    return list(cells.values()), commands


def cells_of_command(runs: Path, words: list[str]) -> tuple[list[Cell], dict[str, str]]:
    """The runs of a sweep given as its command, `train_classifier.py +dataset=... seed=0,1`, in a folder of runs.

    Raises:
        UserError: for what is no such command.
    """
    from chimeramix.config.compose import Tree
    from chimeramix.config.sweep import read_sweep
    from chimeramix.sweep.plan import plan

    words = [word for word in words if word not in ("python", "--multirun", "-m")]
    script = re.fullmatch(r"(?:.*/)?train_(generator|classifier)\.py", words[0] if words else "")
    if script is None:
        given = words[0] if words else "no words"
        raise UserError(f"{given}: give the sweep's axes as its command: train_classifier.py +dataset=... seed=0,1")
    role, folders = script.group(1), [word for word in words[1:] if word.startswith("--config-dir=")]
    overrides = [word for word in to_repeat(words[1:]) if not word.startswith(("--", "machine.runs_dir="))]
    quoted = str(runs).replace("\\", "\\\\").replace("'", "\\'")
    overrides.append(f"machine.runs_dir='{quoted}'")
    tree = Tree(role, Path(folders[0].partition("=")[2]) if folders else None)
    cells = plan(read_sweep(tree, overrides)).cells
    command = f"{train_command(role, folders + overrides)} --multirun"
    return cells, {cell.identity: command for cell in cells}


def show(runs: Path, words: list[str]) -> None:
    """Prints counts by data set, method and samples per class, what is unfinished and why, and how to finish it."""
    cells, commands = cells_of_command(runs, words) if words else cells_below(runs)
    try:
        queue = queue_of(runs / "sweeps")
    except ConnectionError as error:
        print(f"{error}: runs that wait in it are shown as missing")
        queue = {}
    rows = list(zip(cells, states_of(cells, queue), strict=True))
    for role in ("generator", "classifier"):
        chosen = [(cell, state) for cell, state in rows if cell.role == role]
        if chosen:
            counts = count_states([state for _, state in chosen])
            print_table(_counts(f"{role}s: {counts}", [(cell, state) for cell, (state, _) in chosen]))
    told = [(cell, *state) for cell, state in rows if state[0] in ("running", "interrupted", "failed")]
    if told:
        print_table(_unfinished(told))
    rest = _commands(rows, commands)
    if rest:
        print("To finish the rest:")
        for line in rest[:_MOST_TOLD]:
            print(f"  {line}")
        if len(rest) > _MOST_TOLD:
            print(f"  ... and {len(rest) - _MOST_TOLD} more")
    damaged = [f"{cell.folder}: {status.reason}" for cell, (_, status) in rows if isinstance(status, DamagedStatus)]
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


def _counts(title: str, cells: list[tuple[Cell, str]]) -> Table:
    """`4/5` for each data set, method and number of samples: done, and in all."""
    sizes = sorted({cell.columns["max_labels_per_class"] for cell, _ in cells}, key=size_order)
    found: dict[tuple[str, str], dict[int | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell, state in cells:
        method = f"{cell.columns['experiment']} {_variant(cell)}".strip()
        found[cell.columns["dataset"], method][cell.columns["max_labels_per_class"]].append(state)
    rows = [
        [Text(dataset), Text(method), *(_fraction(states[size]) for size in sizes)]
        for (dataset, method), states in sorted(found.items())
    ]
    header = ["data set", "method", *(size_name(size) for size in sizes)]
    return Table(title, header, rows, left=2)


def _variant(cell: Cell) -> str:
    """The overrides that may tell a cell from others of its data set, method, number and seed."""
    return str(cell.columns["changes"]) if len(str(cell.columns["changes"])) <= 40 else ""


def _fraction(states: list[str]) -> Text:
    if not states:
        return Text("")
    done = states.count("done")
    return Text(f"{done}/{len(states)}", bold=done < len(states))


def _unfinished(cells: list[tuple[Cell, str, RunStatus | None]]) -> Table:
    rows = []
    for cell, state, status in cells[:_MOST_TOLD]:
        told = status or RunStatus(state, cell.command)
        texts = [
            f"{cell.role}/{cell.folder.name}",
            (told.reason or "") if state != "running" else "",
            state,
            f"{told.step:,} of {told.steps:,}" if told.steps else "",
            _time(told.seconds_left) if state == "running" else "",
        ]
        rows.append([Text(text) for text in texts])
    caption = f"... and {len(cells) - _MOST_TOLD} more" if len(cells) > _MOST_TOLD else ""
    return Table("Unfinished", ["run", "reason", "state", "step", "left"], rows, caption, left=2)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _commands(rows: list[tuple[Cell, State]], commands: dict[str, str]) -> list[str]:
    """The commands that do what is not done, at work or queued: a sweep's once, then those of single runs."""
    lines: dict[str, None] = {}
    for cell, (state, status) in rows:
        if state in ("missing", "interrupted", "failed"):
            line = commands.get(cell.identity) or (status.command if status and status.command else cell.command)
            if line:
                lines[line] = None
    return sorted(lines, key=lambda line: shlex.split(line)[-1] != "--multirun")
