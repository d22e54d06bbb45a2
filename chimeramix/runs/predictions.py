"""`predictions.npz` of a finished classifier's run, what it predicted for each image; the one reader of that file.

The arrays: `logits` float16 `[M, K]`, each row less its maximum; `labels` int64 `[M]`; `positions` int64 `[M]`, of the
images in their part; `part`, a text: `test`, or `validation` for images that were held out of the training part.
"""

import dataclasses
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chimeramix.runs.folder import PREDICTIONS
from chimeramix.runs.record import PARTS, DamagedRecord


@dataclass(frozen=True)
class Predictions:
    """What a run predicted for M images of K classes.

    Attributes:
        path: of the file.
        part: one of `chimeramix.runs.record.PARTS`.
        logits: `[M, K]` float16, the highest of each row is 0; finite: what is beyond the range of float16 is at its
            end.
        labels: `[M]` int64.
        positions: `[M]` int64, of each image in the test part or, for held-out images, in the training part.
    """

    path: Path
    part: str
    logits: NDArray[np.float16]
    labels: NDArray[np.int64]
    positions: NDArray[np.int64]

    @property
    def answers(self) -> NDArray[np.int64]:
        """`[M]`: the class with the highest logit."""
        return self.logits.argmax(1)

    @property
    def right(self) -> NDArray[np.bool_]:
        """`[M]`: whether the answer is the label."""
        return np.equal(self.answers, self.labels)

    def same_images(self, other: "Predictions") -> bool:
        """Whether both are of the same images in the same order."""
        alike = self.part == other.part and self.logits.shape == other.logits.shape
        return alike and np.array_equal(self.positions, other.positions) and np.array_equal(self.labels, other.labels)


def read_predictions(folder: Path, result: dict[str, Any]) -> Predictions | None:
    """The predictions of a finished run, None where it has none: versions before this file kept none.

    Args:
        result: the content of the run's `result.json`, with which they are compared.

    Raises:
        DamagedRecord: for a file that can't be read, or is not this run's.
    """
    path = folder / PREDICTIONS
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            logits, labels, positions, part = (stored[name] for name in ("logits", "labels", "positions", "part"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except KeyError as error:
        raise DamagedRecord(path, f"an array is missing: {error}") from error
    except (OSError, ValueError, AttributeError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedRecord(path, error) from error
    found = Predictions(path, str(part), logits, labels, positions)
    fault = _fault(found, result)
    if fault is not None:
        raise DamagedRecord(path, fault)
    lowest = np.finfo(np.float16).min
    if found.logits.min() < lowest:  # a network that is absurdly sure
        return dataclasses.replace(found, logits=found.logits.clip(min=lowest))
    return found


def _fault(found: Predictions, result: dict[str, Any]) -> str | None:
    """What is wrong with the arrays; None for nothing."""
    logits, labels, positions = found.logits, found.labels, found.positions
    kinds: list[tuple[str, NDArray[Any], type, int]] = [
        ("logits", logits, np.float16, 2),
        ("labels", labels, np.int64, 1),
        ("positions", positions, np.int64, 1),
    ]
    for name, array, dtype, dimensions in kinds:
        if array.dtype != dtype or array.ndim != dimensions:
            return f"{name}: {array.dtype} {list(array.shape)}"
    if not len(logits) == len(labels) == len(positions) > 0 or logits.shape[1] < 1:
        return f"{len(logits)} rows of logits, {len(labels)} labels, {len(positions)} positions"
    if np.isnan(logits).any() or (logits.max(1) != 0).any():
        return "logits: not numbers, or not less their row's maximum"
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        return f"labels: not all of them are one of {logits.shape[1]} classes"
    ascending = (np.diff(positions) > 0).all()  # as those of a test part: quicker to see than that all differ
    if positions.min() < 0 or not (ascending or len(np.unique(positions)) == len(positions)):
        return "positions: negative, or not all different"
    if found.part not in PARTS or result.get(found.part) is None:
        return f"part: {found.part[:40]}, which result.json has no figures of"
    count = result.get(f"num_{found.part}")
    if count != len(labels):
        return f"{len(labels)} images, where result.json counts {count}"
    return None
