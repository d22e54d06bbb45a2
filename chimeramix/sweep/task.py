"""The file of a job: the complete settings of its runs, so that what was planned is trained even if `conf/` changes
while the job waits in a queue."""

import json
from dataclasses import dataclass
from pathlib import Path

from chimeramix.config.settings import Settings
from chimeramix.sweep.plan import PlannedRun


@dataclass(frozen=True)
class Task:
    """A run that a job's process does."""

    settings: Settings
    folder: Path
    command: str
    sweep: str


def write_job(path: Path, runs: list[PlannedRun]) -> None:
    """For runs that were planned in this process, which have their settings."""
    tasks = []
    for run in runs:
        assert run.settings is not None
        tasks.append({"settings": run.settings.to_json(), "folder": str(run.folder.absolute()), "command": run.command})
    path.write_text(json.dumps(tasks) + "\n", encoding="utf-8")


def read_job(path: Path) -> list[Task]:
    tasks = json.loads(path.read_text(encoding="utf-8"))
    sweep = str(path.absolute().parent.parent)
    return [Task(Settings.from_json(task["settings"]), Path(task["folder"]), task["command"], sweep) for task in tasks]
