"""Means over an epoch, and the file they go to."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from chimeramix.files import read_json_lines
from chimeramix.training.metrics import EpochMeans, MetricsFile

CPU = torch.device("cpu")


def test_means_are_weighted_by_samples() -> None:
    means = EpochMeans(CPU)
    for value, samples in ((1.0, 10), (2.0, 10), (6.0, 4)):
        means.add({"loss": torch.tensor(value), "negative": torch.tensor(-value)}, samples)
    assert means.read() == pytest.approx({"loss": 54 / 24, "negative": -54 / 24})


def test_many_small_values_add_up_exactly_enough() -> None:
    """20,000 float32 losses, summed in float64."""
    values = np.random.default_rng(0).random(20_000, dtype=np.float32)
    means = EpochMeans(CPU)
    for value in torch.from_numpy(values):
        means.add({"loss": value}, 64)
    assert means.read()["loss"] == pytest.approx(values.astype(np.float64).mean(), rel=1e-12)


def test_means_start_over_with_each_epoch() -> None:
    means = EpochMeans(CPU)
    assert means.read() == {}
    means.add({"loss": torch.tensor(1.0)}, 5)
    means.clear()
    assert means.read() == {}
    means.add({"loss": torch.tensor(3.0)}, 2)
    assert means.read() == {"loss": 3.0}


def test_means_go_on_where_they_were_saved() -> None:
    means, resumed = EpochMeans(CPU), EpochMeans(CPU)
    means.add({"loss": torch.tensor(1.0)}, 3)
    file = io.BytesIO()
    torch.save(means.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for one in (means, resumed):
        one.add({"loss": torch.tensor(5.0)}, 1)
    assert resumed.read() == means.read() == {"loss": 2.0}


def test_each_record_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    records = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "test": {"accuracy": 1.0}, "note": "ä\n"}]
    for number, record in enumerate(records, start=1):
        metrics.append(record)
        assert metrics.size == path.stat().st_size
        assert path.read_bytes().count(b"\n") == number
    assert read_json_lines(path) == records


def test_a_resumed_file_forgets_what_will_come_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    first.append({"epoch": 1})
    size = first.size
    first.append({"epoch": 2})
    path.write_bytes(path.read_bytes() + b'{"epo')  # killed while writing
    resumed = MetricsFile(path, size)
    assert read_json_lines(path) == [{"epoch": 1}]
    resumed.append({"epoch": 2, "again": True})
    assert read_json_lines(path) == [{"epoch": 1}, {"epoch": 2, "again": True}]
    assert resumed.size == path.stat().st_size


def test_a_new_run_starts_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n')
    MetricsFile(path)
    assert path.read_text() == ""
