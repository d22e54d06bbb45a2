"""The loop that trains generators and classifiers: epochs, steps, checkpoints, log."""

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from chimeramix.data.loader import EpochLoader
from chimeramix.errors import Interrupted, Paused, RunFailure, UserError
from chimeramix.files import read_json_lines
from chimeramix.machine import Machine
from chimeramix.streams import RunStreams
from chimeramix.training.checkpoint import first_line, save_checkpoint
from chimeramix.training.metrics import EpochMeans, MetricsFile
from chimeramix.training.recording import CudaGraphs, RecordedSteps
from chimeramix.training.stopping import StopRequest
from chimeramix.training.tracking import Tracker
from chimeramix.types import Batch

log = logging.getLogger(__name__)

_MOST_LOG_LINES = 200


class Training(Protocol):
    """What the loop trains."""

    epochs: int
    loader: EpochLoader

    @property
    def learning_rate(self) -> float: ...

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """The device's part of an update; returns scalars on the device. Where steps are recorded, the host's part of
        this is not repeated, but for random streams' coins."""
        ...

    def advance(self, samples: int) -> None:
        """The host's part, after a step on so many images."""
        ...

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        """Called after the `epoch`-th epoch, counted from 1; returns further entries of the epoch's record."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def fit(
    training: Training,
    streams: RunStreams,
    folder: Path,
    identity: str,
    machine: Machine,
    tracker: Tracker,
    checkpoint_seconds: float,
    state: dict[str, Any] | None = None,
    progress: Callable[[int, int, dict[str, Any]], object] = lambda step, steps, last: None,
    stretch: Mapping[str, Any] | None = None,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Trains to the last epoch, from the beginning or from a checkpoint's `state` on.

    A checkpoint is written to `folder/checkpoint.pt` every `checkpoint_seconds`, at the end, and when a signal asks for
    it (see `StopRequest`). It holds all that the rest of the training depends on, so a resumed training ends with the
    bits of an uninterrupted one. `progress` is called with the steps done, the total and the last epoch's record: at
    the start, after each epoch and with each checkpoint. `stretch` says what this process computes with;
    checkpoints hold the stretches of all processes so far, each with the steps that it went `from` and `to`.
    `stop_after` is an epoch after which to save and end, unless it is the last.

    Returns:
        The last epoch's record, `seconds` replaced by those of the whole training, and all `stretches`.

    Raises:
        Interrupted: after a signal, the state saved.
        Paused: after the epoch `stop_after`, the state saved.
        RunFailure: where a loss is no longer finite or a file can't be written.
        UserError: for a state that does not fit this program or device.
    """
    path = folder / "checkpoint.pt"
    means = EpochMeans(machine.device)
    done: dict[str, Any] = {
        "epoch": 0,
        "step": 0,
        "epoch_samples": 0,
        "seconds": 0.0,
        "epoch_seconds": 0.0,
        "metrics_size": 0,
        "last": {},
        "stretches": [],
    }

    if state is not None:
        try:
            training.load_state_dict(state["training"])
            training.loader.load_state_dict(state["loader"])
            streams.load_state_dict(state["streams"])
            means.load_state_dict(state["means"])
            done.update(state["done"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} was written by another version of this program, or on another kind of device or precision "
                f"({first_line(error)}); go on there, or start over with rerun=true"
            ) from error
        log.info("resumed after %d of %d steps", done["step"], training.epochs * len(training.loader))
    done["stretches"].append({"from": done["step"], "to": done["step"], **(stretch or {})})
    metrics = MetricsFile(folder / "metrics.jsonl", done["metrics_size"])
    if done["epoch"]:
        tracker.resume(read_json_lines(folder / "metrics.jsonl"))

    def save() -> None:
        done["metrics_size"] = metrics.size
        done["stretches"][-1]["to"] = done["step"]
        state = {
            "identity": identity,
            "training": training.state_dict(),
            "loader": training.loader.state_dict(),
            "streams": streams.state_dict(),
            "means": means.state_dict(),
            "done": done,
        }
        save_checkpoint(path, state)
        progress(done["step"], steps, done["last"])

    step = steps_of(training, means, streams, machine)
    steps = training.epochs * len(training.loader)
    log_every = math.ceil(training.epochs / _MOST_LOG_LINES)
    bar = tqdm(total=steps, initial=done["step"], unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    with bar, logging_redirect_tqdm(), StopRequest() as stop, machine.own_stream():
        progress(done["step"], steps, done["last"])
        clock = saved = time.monotonic()
        while done["epoch"] < min(stop_after or training.epochs, training.epochs):
            for index, labelled in training.loader.positions():
                step(index, labelled)
                training.advance(len(index))
                done["epoch_samples"] += len(index)
                done["step"] += 1
                bar.update()
                now = time.monotonic()
                if stop.signal_number is not None or stop.save or now - saved >= checkpoint_seconds:
                    done["epoch_seconds"] += now - clock
                    stop.save = False
                    save()
                    clock = saved = time.monotonic()
                    if stop.signal_number is not None:
                        raise Interrupted(stop.signal_number)
            values = means.read()
            done["epoch_seconds"] += time.monotonic() - clock
            done["epoch"] += 1
            _check_finite(values, folder, done["epoch"])
            record = {
                "epoch": done["epoch"],
                "step": done["step"],
                "lr": training.learning_rate,
                **values,
                "seconds": round(done["epoch_seconds"], 3),
                "images_per_second": round(done["epoch_samples"] / max(done["epoch_seconds"], 1e-9), 1),
                **training.end_epoch(done["epoch"]),
            }
            for evaluated in _evaluated(record).values():
                _check_finite(evaluated, folder, done["epoch"])
            metrics.append(record)
            tracker.log(record)
            progress(done["step"], steps, record)
            done["seconds"] += done["epoch_seconds"]
            done["epoch_seconds"], done["epoch_samples"] = 0.0, 0
            done["last"] = record
            means.clear()
            if done["epoch"] % log_every == 0 or done["epoch"] == training.epochs:
                log.info("%s", _describe(record, training.epochs))
            if stop.signal_number is not None:
                break
            clock = time.monotonic()
        save()
        if stop.signal_number is not None:
            raise Interrupted(stop.signal_number)
        if done["epoch"] < training.epochs:
            raise Paused(done["epoch"])
    stretches = [each for each in done["stretches"] if each["to"] > each["from"]]
    return {**done["last"], "seconds": round(done["seconds"], 3), "stretches": stretches}


def steps_of(
    training: Training, means: EpochMeans, streams: RunStreams, machine: Machine
) -> Callable[[Tensor, bool], None]:
    """The device's part of a step, from the batch's positions in the subset `[B]` and whether they have labels to the
    epoch's means; where the machine is to record, recorded."""

    def step(index: Tensor, labelled: bool) -> None:
        means.add(training.step(training.loader.batch(index, labelled)), len(index))

    return RecordedSteps(step, streams, CudaGraphs()) if machine.records else step


def _evaluated(record: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics of the labelled sets that an epoch ended with, by name."""
    return {name: value for name, value in record.items() if isinstance(value, dict) and name != "variants"}


def _check_finite(metrics: dict[str, float], folder: Path, epoch: int) -> None:
    if not all(math.isfinite(value) for value in metrics.values()):
        raise RunFailure(f"{folder}: a loss is no longer finite in epoch {epoch}: {metrics}")


def _describe(record: dict[str, Any], epochs: int) -> str:
    """One line: `epoch 10/200  loss 1.2345  test accuracy 56.7 %  12.3 s`."""
    evaluated = _evaluated(record)
    skipped = {"epoch", "step", "lr", "seconds", "images_per_second", "variants", *evaluated}
    parts = [f"epoch {record['epoch']}/{epochs}"]
    parts += [f"{name} {value:.4f}" for name, value in record.items() if name not in skipped]
    parts += [f"{name} accuracy {100 * metrics['accuracy']:.2f} %" for name, metrics in evaluated.items()]
    parts.append(f"{record['seconds']:.1f} s")
    return "  ".join(parts)
