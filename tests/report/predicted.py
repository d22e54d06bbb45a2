"""Finished runs with what they predicted, as training leaves them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tests.report.store import add_run


def write_predictions(
    folder: Path, logits: ArrayLike, labels: ArrayLike, positions: ArrayLike | None = None, part: str = "test"
) -> None:
    """Writes `predictions.npz`, with the figures in `result.json` that belong to it."""
    scores = np.asarray(logits, np.float64)
    truth = np.asarray(labels, np.int64)
    np.savez(
        folder / "predictions.npz",
        logits=(scores - scores.max(1, keepdims=True)).astype(np.float16),
        labels=truth,
        positions=np.arange(len(truth)) if positions is None else np.asarray(positions, np.int64),
        part=np.array(part),
    )
    result = json.loads((folder / "result.json").read_text())
    accuracy = float((scores.argmax(1) == truth).mean())
    figures = {"accuracy": accuracy, "top5": 1.0, "macro_accuracy": accuracy, "loss": 1.0}
    result |= {"test": None, "num_test": None, "validation": None, "num_validation": None}
    (folder / "result.json").write_text(json.dumps({**result, part: figures, f"num_{part}": len(truth)}))


def add_predicted(
    runs: Path,
    method: str,
    seed: int,
    logits: ArrayLike,
    labels: ArrayLike,
    split_seed: int = 0,
    fold: int | None = None,
    positions: ArrayLike | None = None,
    settings: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Adds a run with predictions; further arguments are those of `add_run`.

    Args:
        fold: which was held out, of two; None for a run that was tested.
        settings: further groups and keys of the configuration.
    """
    own: dict[str, Any] = {"split_seed": split_seed}
    if fold is not None:
        own["validation"] = {"fold": fold, "folds": 2, "seed": 0, "extra": None, "published": False}
    own |= settings or {}
    folder = add_run(runs, method, seed, settings=own, **more)
    write_predictions(folder, logits, labels, positions, "validation" if "validation" in own else "test")
    return folder


def answers(*classes: int, of: int = 3, sure: float = 4.0) -> np.ndarray:
    """Logits `[M, of]` whose highest are those of the classes."""
    return sure * np.eye(of)[list(classes)]
