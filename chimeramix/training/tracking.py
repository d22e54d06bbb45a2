"""Weights & Biases, when asked for; imported only then; its failures never stop a training."""

import logging
import shutil
from pathlib import Path
from typing import Any

from chimeramix.training.pictures import picture_path

log = logging.getLogger(__name__)


class Tracker:
    """Records nothing."""

    def resume(self, records: list[dict[str, Any]]) -> None:
        """Takes the records of the epochs that earlier processes did, before the first of this one."""

    def log(self, record: dict[str, Any]) -> None:
        """Takes an epoch's record, and the picture that the epoch drew, if any."""

    def log_image(self, name: str, path: Path) -> None:
        """Takes a picture's file."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Takes the result."""


class WandbTracker(Tracker):
    """One Weights & Biases run per run folder, continued under the same id (the run's identity) after an interruption.

    Offline, where the client can't continue a run, the new process records the earlier epochs again and removes what
    the one before it recorded, so that a folder holds one complete run to upload.

    The first failure is logged as a warning and ends the tracking.

    Args:
        options: the keys `wandb.*`, group and tags filled in.
        identity: of W&B's run.
        role: `generator` or `classifier`.
        folder: of the run, which gives its name.
        config: the run's whole configuration, to be shown.
    """

    def __init__(self, options: dict[str, Any], identity: str, role: str, folder: Path, config: Any) -> None:
        self._run: Any = None
        self._images: dict[str, Any] = {}  # that go with the next record: W&B's history has one row a step
        self._step = 0
        self._folder = folder
        self._offline = options["mode"] == "offline"
        earlier = list(folder.glob(f"wandb/offline-run-*-{identity}")) if self._offline else []
        try:
            import wandb

            self._wandb = wandb
            if wandb.run is not None:  # of a job of the same sweep that failed; init would hand it out again
                wandb.finish(exit_code=1)
            self._run = wandb.init(
                **options,
                job_type=role,
                name=folder.name,
                id=identity,
                resume="allow",
                dir=str(folder),
                config=config,
            )
            for path in earlier:
                if path.resolve() != Path(self._run.dir).parent.resolve():
                    shutil.rmtree(path)
        except Exception as error:
            self._give_up(error)

    def resume(self, records: list[dict[str, Any]]) -> None:
        if not self._offline and getattr(self._run, "resumed", False):
            return  # the server has them
        for record in records:
            self.log(record)

    def log(self, record: dict[str, Any]) -> None:
        picture = picture_path(self._folder, record["epoch"])
        if picture.exists():
            self.log_image("pictures", picture)
        if self._run is not None:
            try:
                self._step = record["step"]
                self._run.log({**record, **self._images}, step=self._step)
                self._images = {}
            except Exception as error:
                self._give_up(error)

    def log_image(self, name: str, path: Path) -> None:
        if self._run is not None:
            try:
                self._images[name] = self._wandb.Image(str(path))
            except Exception as error:
                self._give_up(error)

    def finish(self, summary: dict[str, Any]) -> None:
        if self._run is not None:
            try:
                if self._images:
                    self._run.log(self._images, step=self._step)
                self._run.summary.update(summary)
                self._run.finish()
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("Weights & Biases failed, the training goes on without it: %s", str(error) or repr(error))
        self._run = None
