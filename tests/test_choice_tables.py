"""Tables of docs/results.md about choices, from records worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from chimeramix.report.results import Result, summarise
from chimeramix.report.store import read_store
from chimeramix.terminal import Table
from tests.report.predicted import add_predicted, answers
from tests.report.store import add_run
from tests.report.test_effort import change
from tools.choice_tables import ensembles_table, steps_table

LABELS = [0, 1, 2, 0]
VALIDATION = {"validation": {"fold": None, "folds": 5, "seed": 0, "extra": 100, "published": False}}
EMA = {"average": {"_target_": "chimeramix.training.EMA", "result": "average"}, **VALIDATION}


def results_of(runs: Path) -> list[Result]:
    return summarise(read_store(runs))


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_the_gain_of_an_ensemble_is_over_its_best_member(tmp_path: Path) -> None:
    """Of four images Baseline has 2 and 4 right on the two splits, MixUp 1 and 4, both together 3 and 4: the member
    that is surer where they differ is right."""
    add_predicted(tmp_path, "Baseline", 0, answers(0, 1, 1, 1, sure=2), LABELS, settings=EMA)
    sure = np.concatenate([answers(1, sure=1), answers(2, sure=1), answers(2, 1, sure=4)])
    add_predicted(tmp_path, "MixUp", 0, sure, LABELS, settings=EMA)
    for method in ("Baseline", "MixUp"):
        add_predicted(tmp_path, method, 1, answers(0, 1, 2, 0), LABELS, split_seed=1, settings=EMA)
    add_predicted(tmp_path, "CutMix", 0, answers(0, 1, 2, 0), LABELS, settings=EMA)  # lacks a split: no row

    table = ensembles_table(results_of(tmp_path), [("MixUp", "Baseline"), ("MixUp", "CutMix")], "Baseline")
    half = 12.7062 * np.std([25, 0], ddof=1) / np.sqrt(2)  # Student's t with 1 degree of freedom, from a table
    assert texts(table) == [
        ["MixUp; Baseline", "75.00 ± 35.36", "87.50 ± 17.68", "+12.50", f"[{12.5 - half:+.2f}, {12.5 + half:+.2f}]"]
    ]


def test_damaged_predictions_are_no_missing_row(tmp_path: Path) -> None:
    folder = add_predicted(tmp_path, "Baseline", 0, answers(0, 1, 2, 0), LABELS, settings=EMA)
    add_predicted(tmp_path, "MixUp", 0, answers(0, 1, 2, 0), LABELS, settings=EMA)
    (folder / "predictions.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="predictions"):
        ensembles_table(results_of(tmp_path), [("MixUp", "Baseline")], "Baseline")


def test_numbers_of_steps_by_samples_per_class(tmp_path: Path) -> None:
    for size, method, steps, accuracies in (
        (50, "Baseline", 8000, (0.50, 0.54)),
        (10, "Baseline", 8000, (0.30, 0.32)),
        (10, "Baseline", 4000, (0.33, 0.33)),
        (10, "MixUp", 8000, (0.35, 0.35)),
    ):
        for seed, accuracy in enumerate(accuracies):
            settings = {**VALIDATION, "epochs": steps // 500}
            change(add_run(tmp_path, method, seed, accuracy, samples_per_class=size, settings=settings), steps=steps)
    assert texts(steps_table(results_of(tmp_path))) == [
        ["10", "4,000", "33.00 ± 0.00", "–"],
        ["10", "8,000", "31.00 ± 1.41", "35.00 ± 0.00"],
        ["50", "8,000", "52.00 ± 2.83", "–"],
    ]
