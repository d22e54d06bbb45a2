"""A run's folder: found by identity, locked while in use, finished when its result is written."""

import json
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from chimeramix.errors import UserError
from chimeramix.files import write_atomically, write_json
from chimeramix.runs.record import REMEDY, find_runs, read_record, without_copies
from chimeramix.runs.spec import identity_of

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.npz"
"""What a classifier predicted of each image that it was evaluated on, read by `chimeramix.runs.predictions`; runs of
earlier versions have none."""

_CLEARED = ".cleared"  # names the sweep for which a run was started over
_WANDB = ".wandb"  # holds the id of W&B's run, where the run was started over
_PACKAGES = ("chimeramix", "torch", "torchvision", "numpy", "scikit-image", "hydra-core", "omegaconf", "pillow")


class RunFolder:
    """`<runs_dir>/<role>/<name>-<identity>/`. Making this object touches no file.

    Args:
        runs_dir: `machine.runs_dir`.
        spec: what the identity hashes; see `chimeramix.runs.spec`.
        name: readable part of the folder's name, used where no folder of this identity exists yet: the identity
            decides, names are for people.
        existing: what `folders_in` found, for one look at the disk for many runs.
    """

    def __init__(
        self, runs_dir: Path, spec: dict[str, Any], name: str, existing: Mapping[str, Path] | None = None
    ) -> None:
        self.spec = spec
        self.identity = identity_of(spec)
        if existing is None:
            existing = folders_in(runs_dir)
        self.path = existing.get(self.identity, runs_dir / spec["role"] / f"{name}-{self.identity}")
        self.name = self.path.name

    @property
    def weights(self) -> Path:
        return self.path / f"{self.spec['role']}.safetensors"

    @property
    def predictions(self) -> Path:
        return self.path / PREDICTIONS

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run, else None. Raises `UserError` for a damaged one, and for that of another."""
        record = read_record(self.path)
        if record is None:
            return None
        if record.result["identity"] != self.identity:
            raise UserError(
                f"{self.path} holds the run {record.result['identity']}, not {self.identity} as its name says: rename "
                f"it, or {REMEDY}"
            )
        return record.result

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and holds it. A second process of the same identity waits here; the operating system frees
        the lock of a process that dies. Raises `UserError` where the folder can't be made."""
        lock = self._acquire()
        try:
            yield
        finally:
            lock.release()

    def _acquire(self) -> FileLock:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("%s is in use by another process: waiting until it ends", self.path)
                lock.acquire()
        except OSError as error:
            raise UserError(
                f"machine.runs_dir: {self.path} can't be written ({error.strerror}); choose another folder with "
                "machine.runs_dir=DIR"
            ) from error
        return lock

    def clear(self, sweep: str | None = None) -> None:
        """Removes what an earlier run left, the result first: a folder that is being cleared is not finished, and what
        is left of it after a kill is not resumed. Notes for which sweep."""
        for name in ("result.json", "checkpoint.pt"):
            (self.path / name).unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != ".lock":
                entry.unlink()
        # W&B takes no record of an earlier step than those that a run of this id has already.
        (self.path / _WANDB).write_text(f"{self.identity}-{uuid4().hex[:6]}", encoding="utf-8")
        if sweep is not None:
            (self.path / _CLEARED).write_text(sweep, encoding="utf-8")

    @property
    def wandb_id(self) -> str:
        """The identity; of a run that was started over another one."""
        try:
            return (self.path / _WANDB).read_text(encoding="utf-8")
        except FileNotFoundError:
            return self.identity

    def describe(self, config: str, split: dict[str, Any], device: str, command: str, own: Sequence[Path]) -> None:
        """Writes what the run is, before it begins: `config.yaml`, `spec.json`, `split.json`, `environment.json`, the
        last with the command that trains it and the folders of one's own modules (`own`)."""
        write_atomically(self.path / "config.yaml", lambda path: path.write_text(config, encoding="utf-8"))
        write_json(self.path / "spec.json", self.spec)
        write_json(self.path / "split.json", split)
        folders = [str(folder.absolute()) for folder in own]
        described = {"command": command, "own_folders": folders, **environment(), "device": device}
        write_json(self.path / "environment.json", described)

    def finish(self, result: dict[str, Any], keep_checkpoint: bool) -> None:
        """Writes the result, which makes the run a finished one."""
        write_json(self.path / "result.json", result)
        if not keep_checkpoint:
            (self.path / "checkpoint.pt").unlink(missing_ok=True)


def cleared_for(path: Path, sweep: str | None) -> bool:
    """Whether a sweep, known by its folder, has started the run of this folder over already: its job may come back from
    the queue. False for None."""
    try:
        return (path / _CLEARED).read_text(encoding="utf-8") == sweep
    except (FileNotFoundError, NotADirectoryError):
        return False


def folders_in(runs_dir: Path) -> dict[str, Path]:
    """The folders of all runs in `machine.runs_dir`, by identity; a finished one where several hold the same run."""
    found = (run for role in ("generator", "classifier") for run in find_runs(runs_dir / role))
    return {run.identity: run.path for run in without_copies(found)[0] if run.identity is not None}


def own_folders_of(folder: Path) -> list[Path]:
    """Where a run's modules that are not of this package lie, as its `environment.json` tells; none without it."""
    try:
        content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        return [Path(each) for each in content.get("own_folders") or []]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def environment() -> dict[str, Any]:
    """Versions and code state under which a run computes; `git_commit` ends with `+` for a changed working tree."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "host": platform.node(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


@cache
def git_commit() -> str | None:
    """The commit of this code, with `+` behind it for a changed working tree; None outside a repository."""
    return commit_of(Path(__file__))


def commit_of(file: Path) -> str | None:
    """The same for any file; None where git does not track it, as in an environment that lies in a repository."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
