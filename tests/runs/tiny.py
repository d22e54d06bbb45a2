"""Runs of a second or two, and how to compare what they left."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from chimeramix.runs.train import train
from tests.composing import composed

COMMON = [
    "+dataset=demo/digits",
    "dataset.image_size=16",
    "max_labels_per_class=2",
    "machine.device=cpu",
    "machine.workers=1",
]
GENERATOR = [
    "generator.features=4",
    "generator.blocks=2",
    "generator.split=1",
    "generator.discriminator.features=4",
    "generator.epochs=2",
    "generator.batch_size=8",
    "generator.epoch_labels_per_class=4",  # 40 images, 5 steps an epoch
]
# Dropout draws from torch's global generator, which a resumed run must continue too.
CLASSIFIER = [
    "epochs=2",
    "batch_size=8",
    "epoch_labels_per_class=4",
    "model.width=1",
    "model.dropout=0.3",
    "monitor.evaluate_every=1",
]


def overrides(role: str, runs: Path, experiment: str = "chimeramix_segmentation", *more: str) -> list[str]:
    """Arguments of `train_<role>.py` for a tiny run."""
    generator = GENERATOR if experiment in ("chimeramix_grid", "chimeramix_segmentation") else []
    own = CLASSIFIER if role == "classifier" else []
    return [*COMMON, f"+experiment={experiment}", *generator, *own, f"machine.runs_dir={runs}", *more]


def run(role: str, runs: Path, *more: str, experiment: str = "chimeramix_segmentation") -> Path:
    """Trains in this process; returns the run folder."""
    train(composed(role, overrides(role, runs, experiment, *more)))
    return folder_of(role, runs)


def folder_of(role: str, runs: Path) -> Path:
    (folder,) = (runs / role).iterdir()
    return folder


def figures(folder: Path) -> dict[str, Any]:
    """What must not depend on interruptions: all records and the result, times, paths and processes aside."""
    clocks = ("seconds", "images_per_second")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k not in clocks} for line in lines]
    result = json.loads((folder / "result.json").read_text())
    del result["seconds"], result["stretches"]
    return {"records": records, "result": result}


def assert_same_run(folder: Path, expected: Path) -> None:
    """Weights equal to the bit, figures equal, nothing temporary left."""
    assert folder.name == expected.name
    (weights,) = (load_file(path) for path in folder.glob("*.safetensors"))
    (others,) = (load_file(path) for path in expected.glob("*.safetensors"))
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name
    assert figures(folder) == figures(expected)
    if "classifier" in (folder.parent.name, expected.parent.name):
        with np.load(folder / "predictions.npz") as ours, np.load(expected / "predictions.npz") as theirs:
            assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not list(folder.rglob("*.tmp"))
