"""`chimeramix report --calibration`."""

from pathlib import Path

import numpy as np
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


def test_without_predictions_there_is_nothing_to_show(tmp_path: Path, capsys: Output) -> None:
    (add_predicted(tmp_path, "Baseline", 0, too_sure(0), LABELS) / "predictions.npz").unlink()
    assert main(["report", str(tmp_path), "--calibration"]) == 2
    assert "--calibration: no run has predictions.npz" in capsys.readouterr().err
