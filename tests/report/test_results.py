"""Grouping finished runs over their seeds."""

from pathlib import Path

import numpy as np
import pytest

from chimeramix.errors import UserError
from chimeramix.report.results import Result, read_store, summarise
from tests.report.store import add_run


def results_of(runs: Path, metric: str = "accuracy") -> list[Result]:
    return summarise(read_store(runs, metric))


def test_mean_and_sample_standard_deviation_over_seeds(tmp_path: Path) -> None:
    accuracies = [0.31, 0.29, 0.345]
    for seed, accuracy in enumerate(accuracies):
        add_run(tmp_path, "Baseline", seed, accuracy)
    (result,) = results_of(tmp_path)
    assert result.mean == pytest.approx(100 * np.mean(accuracies))
    assert result.std == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert result.method == "Baseline"


def test_a_single_run_has_no_standard_deviation(tmp_path: Path) -> None:
    add_run(tmp_path)
    (result,) = results_of(tmp_path)
    assert result.std is None


def test_other_metrics_of_the_record(tmp_path: Path) -> None:
    add_run(tmp_path, accuracy=0.25)
    (result,) = results_of(tmp_path, "top5")
    assert result.mean == pytest.approx(55)


def test_other_settings_make_another_result_named_by_them(tmp_path: Path) -> None:
    """Runs with another learning rate are not averaged with the rest."""
    for seed in (0, 1):
        add_run(tmp_path, seed=seed, lr=0.1)
    add_run(tmp_path, lr=0.01)
    found = {result.method: len(result.runs) for result in results_of(tmp_path)}
    assert found == {"Baseline (optimizer.lr=0.1)": 2, "Baseline (optimizer.lr=0.01)": 1}


def test_settings_that_follow_the_number_of_samples_make_no_variants(tmp_path: Path) -> None:
    """A learning rate for each number is one method, as long as no number has two."""
    add_run(tmp_path, samples_per_class=5, lr=0.1)
    add_run(tmp_path, samples_per_class=10, lr=0.01)
    assert [result.method for result in results_of(tmp_path)] == ["Baseline", "Baseline"]
    add_run(tmp_path, samples_per_class=10, lr=0.1)
    found = sorted((result.samples_per_class, result.method) for result in results_of(tmp_path))
    assert found == [
        (5, "Baseline (optimizer.lr=0.1)"),
        (10, "Baseline (optimizer.lr=0.01)"),
        (10, "Baseline (optimizer.lr=0.1)"),
    ]


def test_generators_are_compared_without_their_seeds(tmp_path: Path) -> None:
    """Each seed has a generator of its own identity; the method is the same if its settings are."""
    for seed in (0, 1):
        add_run(tmp_path, "ChimeraMix+Grid", seed, generator_lr=2e-4)
    add_run(tmp_path, "ChimeraMix+Grid", 2, generator_lr=1e-3)
    assert sorted(len(result.runs) for result in results_of(tmp_path)) == [1, 2]


def test_a_generator_that_was_removed_since_does_not_hide_its_classifiers(tmp_path: Path) -> None:
    folder = add_run(tmp_path, "ChimeraMix+Grid", 0, generator_lr=2e-4)
    for path in sorted((tmp_path / "generator").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (result,) = results_of(tmp_path)
    assert result.runs[0, 0].folder == folder


@pytest.mark.parametrize(
    ("method", "augment", "expected"),
    [
        ("Baseline", "flip_crop", "Baseline"),
        ("Baseline", "autoaugment", "Baseline + AutoAugment"),
        ("ChimeraMix+Seg", "trivialaugment", "ChimeraMix+Seg + TrivialAugment"),
        ("Cutout", "flip_crop + cutout", "Cutout"),
        ("Random Erasing", "flip_crop + random_erasing", "Random Erasing"),
        ("MixUp", "flip_crop + cutout", "MixUp + cutout"),
        ("MixUp", "flip_crop (flip=0)", "MixUp + flip_crop (flip=0)"),
    ],
)
def test_names_say_what_was_added_to_the_standard_augmentation(
    tmp_path: Path, method: str, augment: str, expected: str
) -> None:
    add_run(tmp_path, method, augment=augment)
    (result,) = results_of(tmp_path)
    assert result.method == expected


def test_runs_of_several_folders_of_runs_and_nothing_else(tmp_path: Path) -> None:
    """A folder above several `machine.runs_dir` is reported as one; what training left besides is not walked."""
    add_run(tmp_path / "monday", seed=0)
    inside = add_run(tmp_path / "tuesday", seed=1) / "wandb" / "classifier" / "not-a-run"
    inside.mkdir(parents=True)
    (inside / "result.json").write_text("{}")
    (result,) = results_of(tmp_path)
    assert len(result.runs) == 2


def test_unfinished_runs_do_not_count(tmp_path: Path) -> None:
    add_run(tmp_path)
    unfinished = tmp_path / "classifier" / "unfinished"
    unfinished.mkdir()
    (unfinished / "spec.json").write_text("{}")
    store = read_store(tmp_path)
    assert len(store.runs) == 1
    assert store.unfinished == 1


@pytest.mark.parametrize("content", ["", "{", "[1, 2", "{}", '{"dataset": "cifair10"}', "[1, 2]", "null"])
@pytest.mark.parametrize("name", ["result.json", "spec.json"])
def test_a_damaged_record_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = add_run(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=rf"{folder.name}.*is damaged"):
        read_store(tmp_path)


def test_runs_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    """Their generators differed, but with their folders their settings are gone."""
    for lr in (2e-4, 1e-3):
        add_run(tmp_path, "ChimeraMix+Grid", 0, generator_lr=lr)
    for path in sorted((tmp_path / "generator").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(UserError, match="can't be told apart"):
        results_of(tmp_path)


def test_one_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    for place in ("here", "there"):
        add_run(tmp_path / place)
    (result,) = results_of(tmp_path)
    assert len(result.runs) == 1


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished classifier run"):
        read_store(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_store(tmp_path / "absent")
