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
    """Sample-weighted means of named scalars; adding happens on the device, in place, and reads nothing back."""

    def __init__(self, device: torch.device) -> None:
        # Apple's GPUs have no float64.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}  # by name: of values times samples, of samples

    def clear(self) -> None:
        for total, samples in self._sums.values():
            total.zero_()
            samples.zero_()

    def add(self, values: dict[str, Tensor], samples: int) -> None:
        for name, value in values.items():
            if name not in self._sums:
                self._sums[name] = self._zero(), self._zero()
            total, count = self._sums[name]
            total.add_(value, alpha=samples)
            count.add_(samples)

    def read(self) -> dict[str, float]:
        """Synchronises once for all values. A value that was not added since `clear` is left out."""
        if not self._sums:
            return {}
        sums = torch.stack([torch.stack(pair) for pair in self._sums.values()]).tolist()
        return {name: total / count for name, (total, count) in zip(self._sums, sums, strict=True) if count}

    def _zero(self) -> Tensor:
        return torch.zeros((), dtype=self._dtype, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        return {name: list(pair) for name, pair in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = {name: (pair[0].to(self._device), pair[1].to(self._device)) for name, pair in state.items()}


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
                raise UserError(f"{path} lacks epochs that the checkpoint beside it counts; start over with rerun=true")
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
