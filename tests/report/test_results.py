"""The table of results: grouping over seeds, means and standard deviations, damaged stores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chimeramix.errors import UserError
from chimeramix.report import read_results, show, summarise


def add_run(
    runs: Path, method: str, seed: int, accuracy: float, lr: float = 0.1, generator_lr: float | None = None
) -> None:
    """A finished classifier run as training leaves it, cut down to what a report reads."""
    spec: dict[str, Any] = {
        "format": 1,
        "role": "classifier",
        "seed": seed,
        "split_seed": seed,
        "optimizer": {"lr": lr},
    }
    spec["generator"] = None
    if generator_lr is not None:
        spec["generator"] = f"g{seed}{generator_lr}"
        generator = runs / "generator" / f"some-name-{spec['generator']}"
        generator.mkdir(parents=True, exist_ok=True)
        generator_spec = {"seed": seed, "split_seed": seed, "generator": {"optimizer": {"lr": generator_lr}}}
        (generator / "spec.json").write_text(json.dumps(generator_spec))
    folder = runs / "classifier" / f"{method}-{seed}-{lr}-{generator_lr}"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    result = {
        "dataset": "cifair10",
        "max_labels_per_class": 5,
        "model": "wideresnet_16_8",
        "augment": "flip_crop",
        "method": method,
        "seed": seed,
        "split_seed": seed,
        "test": {"accuracy": accuracy},
    }
    (folder / "result.json").write_text(json.dumps(result))


def test_mean_and_sample_standard_deviation_over_seeds(tmp_path: Path) -> None:
    accuracies = [0.31, 0.29, 0.345]
    for seed, accuracy in enumerate(accuracies):
        add_run(tmp_path, "Baseline", seed, accuracy)
    (row,) = summarise(read_results(tmp_path))
    assert row.mean == pytest.approx(100 * np.mean(accuracies))
    assert row.std == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert row.variant == ""


def test_a_single_run_has_no_standard_deviation(tmp_path: Path) -> None:
    add_run(tmp_path, "Baseline", 0, 0.3)
    (row,) = summarise(read_results(tmp_path))
    assert row.std is None


def test_other_settings_make_another_row(tmp_path: Path) -> None:
    """Runs with another learning rate are not averaged with the rest, and their rows can be told apart."""
    for seed in (0, 1):
        add_run(tmp_path, "Baseline", seed, 0.3, lr=0.1)
    add_run(tmp_path, "Baseline", 0, 0.5, lr=0.01)
    rows = summarise(read_results(tmp_path))
    assert [len(row.accuracies) for row in rows] == [2, 1]
    assert len({row.variant for row in rows}) == 2
    assert all(row.variant for row in rows)


def test_generators_are_compared_without_their_seeds(tmp_path: Path) -> None:
    """Each seed has a generator of its own identity; the method is the same if its settings are."""
    for seed in (0, 1):
        add_run(tmp_path, "ChimeraMix+Grid", seed, 0.3, generator_lr=2e-4)
    add_run(tmp_path, "ChimeraMix+Grid", 2, 0.4, generator_lr=1e-3)
    assert sorted(len(row.accuracies) for row in summarise(read_results(tmp_path))) == [1, 2]


def test_unfinished_runs_do_not_count(tmp_path: Path) -> None:
    add_run(tmp_path, "Baseline", 0, 0.3)
    unfinished = tmp_path / "classifier" / "unfinished"
    unfinished.mkdir()
    (unfinished / "spec.json").write_text("{}")
    assert len(read_results(tmp_path)) == 1


def test_the_printed_table_holds_every_row_in_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, (baseline, ours) in enumerate([(0.30, 0.33), (0.32, 0.37)]):
        add_run(tmp_path, "Baseline", seed, baseline)
        add_run(tmp_path, "ChimeraMix+Segmentation", seed, ours)
    show(summarise(read_results(tmp_path)))
    printed = capsys.readouterr().out
    assert "31.00 ± 1.41" in printed
    assert "35.00 ± 2.83" in printed
    assert printed.index("Baseline") < printed.index("ChimeraMix+Segmentation")  # best last
    assert "data set cifair10, per class 5, model wideresnet_16_8" in printed


@pytest.mark.parametrize("content", ["", "{", "[1, 2"])
def test_a_damaged_result_is_named(tmp_path: Path, content: str) -> None:
    add_run(tmp_path, "Baseline", 0, 0.3)
    (damaged,) = tmp_path.rglob("result.json")
    damaged.write_text(content)
    with pytest.raises(UserError, match=r"result\.json is damaged"):
        read_results(tmp_path)


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished classifier run"):
        read_results(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_results(tmp_path / "absent")
