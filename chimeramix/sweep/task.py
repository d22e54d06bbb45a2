"""The file of a job: the complete settings of its runs, so that what was planned is trained even if `conf/` changes
while the job waits in a queue."""

import json
from dataclasses import dataclass
from pathlib import Path

from chimeramix.config.settings import Settings
from chimeramix.sweep.plan import Cell


@dataclass(frozen=True)
class Task:
    """A run that a job does."""

    settings: Settings
    folder: Path
    command: str
    sweep: str


def write_job(path: Path, cells: list[Cell], settings: list[Settings]) -> None:
    runs = [
        {"settings": each.to_json(), "folder": str(cell.folder.absolute()), "command": cell.command}
        for cell, each in zip(cells, settings, strict=True)
    ]
    path.write_text(json.dumps(runs) + "\n", encoding="utf-8")


def read_job(path: Path) -> list[Task]:
    runs = json.loads(path.read_text(encoding="utf-8"))
    sweep = str(path.absolute().parent.parent)
    return [Task(Settings.from_json(run["settings"]), Path(run["folder"]), run["command"], sweep) for run in runs]
