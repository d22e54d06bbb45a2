"""What the loop does with a training's steps: learning rates, the epoch's record, the pictures' pairs."""

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from chimeramix.machine import Machine
from chimeramix.training import loop
from chimeramix.training.generator import GeneratorTraining
from chimeramix.training.tracking import Tracker
from chimeramix.types import Batch
from tests.training.small import EPOCHS, small

CPU = Machine(torch.device("cpu"))


@pytest.mark.parametrize(
    ("role", "word"),
    [("classifier", "schedule"), ("generator", "generator.schedule")],
)
def test_the_learning_rate_falls_step_by_step(role: str, word: str, tmp_path: Path) -> None:
    """The cosine over all steps of the training, three in each epoch, ends near 0."""
    words = [] if role == "classifier" else [f"~{word}.milestones", f"~{word}.factor"]
    words.append(f"{word}._target_=chimeramix.training.schedules.Cosine")
    training = small(role, "chimeramix_grid", CPU, tmp_path, *words).training
    first, steps = training.learning_rate, 3 * EPOCHS
    for step in range(steps):
        assert training.learning_rate == pytest.approx(first * (1 + math.cos(math.pi * step / steps)) / 2)
        training.advance(6)
    assert training.learning_rate == pytest.approx(0, abs=1e-9)


def test_the_record_counts_images_by_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 images an epoch, in batches of 6, 6 and 3; each look at the clock finds a second more."""
    seconds = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    parts = small("classifier", "baseline", CPU, tmp_path)
    parts.training.epochs = 2
    loop.fit(parts.training, parts.streams, tmp_path, "identity", CPU, Tracker(), 1000)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 2
    for record in records:
        assert record["images_per_second"] == pytest.approx(15 / record["seconds"], abs=0.05)


@pytest.mark.parametrize("per_class", [1, 2, 5])
def test_pictures_show_pairs_of_different_images(
    per_class: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class of one image has no other partner."""
    pairs: list[tuple[Batch, Batch]] = []

    def preview(first: Batch, partner: Batch, rng: object) -> dict[str, Tensor]:
        pairs.append((first, partner))
        return {}

    training = small("generator", "chimeramix_grid", CPU, tmp_path, f"max_labels_per_class={per_class}").training
    assert isinstance(training, GeneratorTraining)
    monkeypatch.setattr(training.generator, "preview", preview)
    training.end_epoch(EPOCHS)
    ((first, partner),) = pairs
    assert first.labels.tolist() == partner.labels.tolist() == [0, 1, 2]
    assert first.index is not None
    assert partner.index is not None
    assert (first.index == partner.index).tolist() == [per_class == 1] * 3
