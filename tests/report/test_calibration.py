"""`chimeramix report --calibration`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from tests.report.predicted import add_predicted
from tests.report.test_ensembles import row
from tests.report.test_report import Output, main, report

RNG = np.random.default_rng(0)
LABELS = RNG.integers(4, size=300)


def too_sure(seed: int, temperature: float = 3.0) -> np.ndarray:
    """Logits that are so many times larger than they should be."""
    rng = np.random.default_rng(seed)
    return temperature * (2 * np.eye(4)[LABELS] + rng.standard_normal((300, 4)))


def figures(logits: np.ndarray, temperature: float = 1.0) -> tuple[float, float]:
    """NLL and Brier score by SciPy and scikit-learn, of the logits as the file has them."""
    kept = (logits - logits.max(1, keepdims=True)).astype(np.float16).astype(np.float64)
    probabilities = scipy.special.softmax(kept / temperature, axis=1)
    error = sklearn.metrics.mean_squared_error(np.eye(4)[LABELS], probabilities)
    return sklearn.metrics.log_loss(LABELS, probabilities), 4 * error


def test_mean_and_std_over_runs(tmp_path: Path, capsys: Output) -> None:
    for seed in range(3):
        add_predicted(tmp_path, "Baseline", seed, too_sure(seed), LABELS, split_seed=seed)
    printed = report(capsys, tmp_path, "--calibration")
    nll, brier = zip(*(figures(too_sure(seed)) for seed in range(3)), strict=True)
    found = row(printed, "Baseline", 9)
    assert found[1:4] == ["5", "3", f"{np.mean(nll):.3f} ± {np.std(nll, ddof=1):.3f}"]
    assert found[5] == f"{np.mean(brier):.3f} ± {np.std(brier, ddof=1):.3f}"
    assert "15 bins of equal width" in printed


def test_without_validation_runs_there_is_no_temperature(tmp_path: Path, capsys: Output) -> None:
    add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS)
    printed = report(capsys, tmp_path, "--calibration")
    assert row(printed, "Baseline", 9)[-3:] == ["–", "–", "–"]
    assert "no temperature for Baseline at 5: validation runs of the same settings would give it" in printed
    assert "validation.fold=0,1,2,3,4" in printed


def test_the_temperature_of_validation_runs(tmp_path: Path, capsys: Output) -> None:
    """From the held-out images of all folds together, the best of a fine grid; also where a condition leaves only the
    tested run in the table."""
    add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS)
    held_out = [too_sure(1, 3.0), too_sure(2, 2.0)]
    for fold, logits in enumerate(held_out):
        add_predicted(tmp_path, "Baseline", 0, logits, LABELS, fold=fold)
    printed = report(capsys, tmp_path, "--calibration", "--where", "num_test=300")
    grid = np.linspace(0.8, 2.4, 161)
    best = grid[np.argmin([sum(figures(logits, t)[0] for logits in held_out) for t in grid])]
    found = row(printed, "Baseline", 9)
    assert float(found[6]) == pytest.approx(best, abs=0.011)
    assert float(found[7]) == pytest.approx(figures(too_sure(0), best)[0], abs=0.002)
    assert float(found[7]) < float(found[3])
    assert "no temperature" not in printed


def test_held_out_images_are_not_scaled_by_their_own_temperature(tmp_path: Path, capsys: Output) -> None:
    for fold in range(2):
        add_predicted(tmp_path, "Baseline", 0, too_sure(fold), LABELS, fold=fold)
    printed = report(capsys, tmp_path, "--calibration")
    assert "calibration on validation images" in printed
    assert row(printed, "Baseline", 9)[-3:] == ["–", "–", "–"]
    assert "no temperature: it would be fitted to the images that it is judged on" in printed


@pytest.mark.parametrize(
    "other",
    [
        {"lr": 0.5},
        {"samples_per_class": 10},
        {"dataset": "cifair100"},
        {"settings": {"validation": {"fold": None, "folds": 5, "seed": 0, "extra": 50, "published": False}}},
    ],
    ids=["other settings", "other number", "other images", "more labels"],
)
def test_validation_runs_of_something_else_give_no_temperature(
    tmp_path: Path, capsys: Output, other: dict[str, Any]
) -> None:
    add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS)
    add_predicted(tmp_path, "Baseline", 0, too_sure(1), LABELS, **{"fold": 0, **other})
    printed = report(capsys, tmp_path, "--calibration")
    tested = printed[printed.index("calibration on test images") :]
    assert "no temperature for Baseline" in tested


def test_held_out_images_that_are_all_right_tell_no_temperature(tmp_path: Path, capsys: Output) -> None:
    add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS)
    add_predicted(tmp_path, "Baseline", 0, 5 * np.eye(4)[LABELS], LABELS, fold=0)
    printed = report(capsys, tmp_path, "--calibration")
    assert "the held-out images of Baseline at 5 tell no temperature: all right, or all by chance" in printed


def test_without_predictions_there_is_nothing_to_show(tmp_path: Path, capsys: Output) -> None:
    (add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS) / "predictions.npz").unlink()
    assert main(["report", str(tmp_path), "--calibration"]) == 2
    assert "--calibration: no run has predictions.npz" in capsys.readouterr().err
