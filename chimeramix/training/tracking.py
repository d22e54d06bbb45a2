"""Weights & Biases, when asked for; imported only then, and no failure of it reaches the training."""

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Tracker:
    """Records nothing."""

    def log(self, record: dict[str, Any]) -> None:
        """Takes an epoch's record."""

    def log_image(self, name: str, path: Path) -> None:
        """Takes a picture's file."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Takes the result."""


class WandbTracker(Tracker):
    """One Weights & Biases run per run folder, continued under the same id (the run's identity) after an interruption.

    The first failure is logged as a warning and ends the tracking.
    """

    def __init__(
        self, settings: dict[str, Any], identity: str, name: str, role: str, folder: Path, config: Any
    ) -> None:
        self._run: Any = None
        try:
            import wandb

            self._wandb = wandb
            if wandb.run is not None:  # of a job of the same sweep that failed; init would hand it out again
                wandb.finish(exit_code=1)
            self._run = wandb.init(
                mode=settings["mode"],
                project=settings["project"],
                entity=settings["entity"],
                group=settings["group"],
                tags=settings["tags"] or None,
                job_type=role,
                name=name,
                id=identity,
                resume="allow",
                dir=str(folder),
                config=config,
            )
        except Exception as error:
            self._give_up(error)

    def log(self, record: dict[str, Any]) -> None:
        if self._run is not None:
            try:
                self._run.log(record, step=record["step"])
            except Exception as error:
                self._give_up(error)

    def log_image(self, name: str, path: Path) -> None:
        if self._run is not None:
            try:
                self._run.log({name: self._wandb.Image(str(path))}, commit=False)
            except Exception as error:
                self._give_up(error)

    def finish(self, summary: dict[str, Any]) -> None:
        if self._run is not None:
            try:
                self._run.summary.update(summary)
                self._run.finish()
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("Weights & Biases failed, the training goes on without it: %s", str(error) or repr(error))
        self._run = None
