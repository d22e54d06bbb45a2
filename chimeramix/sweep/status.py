"""`chimeramix status`: how far the runs of a folder are, and the commands that finish the rest."""

import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.errors import UserError
from chimeramix.runs.commands import to_repeat, train_command
from chimeramix.runs.spec import identity_in, size_name, size_order
from chimeramix.runs.state import RunStatus
from chimeramix.sweep.plan import Cell, count_states, queue_of, read_plans, states_of
from chimeramix.terminal import Table, Text, print_table

if TYPE_CHECKING:
    from chimeramix.config.sweep import Sweep

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
            cell = Cell(folder, entry["role"], entry["columns"], entry["command"])
            cells[cell.identity] = cell
            commands[cell.identity] = f"{command} --multirun"
    for role in ("generator", "classifier"):
        for folder in sorted((runs / role).glob("*-n*-s*-*")):
            name = _NAME.fullmatch(folder.name)
            if name is not None:
                known = cells.get(identity_in(folder.name))
                cell = Cell(folder, role, known.columns if known else _columns(name), known.command if known else "")
                cells[cell.identity] = cell
    if not cells:
        raise UserError(f"{runs}: no run in this folder")
    return list(cells.values()), commands


def cells_of_command(runs: Path, words: list[str]) -> tuple[list[Cell], dict[str, str]]:
    """The runs of a sweep given as its command, `train_classifier.py +dataset=... seed=0,1`, in a folder of runs.

    Raises:
        UserError: for what is no such command.
    """
    from chimeramix.config.compose import read_command_line, tree_of
    from chimeramix.config.sweep import read_sweep
    from chimeramix.sweep.plan import plan

    words = words[1:] if words[:1] in (["python"], ["python3"]) else words
    script = re.fullmatch(r"(?:.*/)?train_(generator|classifier)\.py", words[0] if words else "")
    if script is None:
        given = words[0] if words else "no words"
        raise UserError(f"{given}: give the sweep's axes as its command: train_classifier.py +dataset=... seed=0,1")
    role, options = script.group(1), read_command_line(words[1:])
    overrides = [word for word in to_repeat(options.overrides) if not word.startswith("machine.runs_dir=")]
    quoted = str(runs).replace("\\", "\\\\").replace("'", "\\'")
    overrides.append(f"machine.runs_dir='{quoted}'")
    tree, overrides = tree_of(role, overrides, options.config_dir, options.config_name)
    cells = plan(read_sweep(tree, overrides)).cells
    command = f"{train_command(role, tree.options + overrides)} --multirun"
    return cells, {cell.identity: command for cell in cells}


def preview(sweep: "Sweep") -> None:
    """Prints a sweep's runs, one a line: state, folder, and the overrides that the folder's name does not tell.

    Raises:
        UserError: where a data set can't be used.
    """
    from chimeramix.sweep.plan import plan

    planned = plan(sweep)
    states = states_of(planned.cells)
    for cell, (state, _) in zip(planned.cells, states, strict=True):
        print(f"{state:11} {cell.role}/{cell.folder.name}  {cell.columns['changes']}".rstrip())
    nothing = f"; {planned.nothing} of {planned.combinations} combinations train nothing" if planned.nothing else ""
    print(f"{len(planned.runs)} run{'s' * (len(planned.runs) != 1)}: {count_states(states)}{nothing}")


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


def _columns(name: "re.Match[str]") -> dict[str, Any]:
    count = name["count"]
    return {
        "dataset": name["dataset"],
        "experiment": name["method"],
        "max_labels_per_class": None if count == "all" else int(count),
        "seed": int(name["seed"]),
        "changes": "",
    }


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
            "" if told.loss is None else f"{told.loss:.4f}",
            "" if told.accuracy is None else f"{100 * told.accuracy:.2f} %",
            _time(told.seconds_left) if state == "running" else "",
        ]
        rows.append([Text(text) for text in texts])
    caption = f"... and {len(cells) - _MOST_TOLD} more" if len(cells) > _MOST_TOLD else ""
    return Table("Unfinished", ["run", "reason", "state", "step", "loss", "accuracy", "left"], rows, caption, left=2)


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
