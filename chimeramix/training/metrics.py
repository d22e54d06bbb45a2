"""Means of losses over an epoch, kept on the device until the epoch ends, and the file they are written to."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chimeramix.errors import UserError
from chimeramix.files import write_failure


class EpochMeans:
    """Sample-weighted means of named scalars; adding reads nothing back from the device."""

    def __init__(self, device: torch.device) -> None:
        # Apple's GPUs have no float64.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self.clear()

    def clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self.samples = 0

    def add(self, values: dict[str, Tensor], samples: int) -> None:
        for name, value in values.items():
            weighted = value.to(self._dtype) * samples
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
        self.samples += samples

    def read(self) -> dict[str, float]:
        """One synchronisation for all values."""
        if not self._sums:
            return {}
        means = (torch.stack(list(self._sums.values())) / self.samples).tolist()
        return dict(zip(self._sums, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = {name: value.to(self._device) for name, value in state["sums"].items()}
        self.samples = state["samples"]


class MetricsFile:
    """`metrics.jsonl`: a JSON object per epoch. `size` goes into the checkpoint, and a resumed run cuts the file there:
    epochs that will be trained again leave no line behind.

    Raises:
        UserError: for a file that is shorter than that.
        RunFailure: from `append`, for a full disk.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._path = path
        self.size = size
        with path.open("ab") as file:
            if file.tell() < size:
                raise UserError(f"{path} lacks epochs that the checkpoint beside it counts; start anew with rerun=true")
            file.truncate(size)

    def append(self, record: dict[str, Any]) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self.size = file.tell()
        except OSError as error:
            raise write_failure(self._path, error) from error
