"""Scores of predictions against values by hand, plain loops, SciPy and scikit-learn."""

import math

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from chimeramix.report import scores

RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.standard_normal((200, 7))).astype(np.float16)
LABELS = np.where(RNG.random(200) < 0.5, LOGITS.argmax(1), RNG.integers(7, size=200))
LOG = scores.log_probabilities(LOGITS)


def test_probabilities_are_the_softmax_of_float64() -> None:
    assert scores.log_probabilities(LOGITS, 1.7) == pytest.approx(
        scipy.special.log_softmax(LOGITS.astype(np.float64) / 1.7, axis=1), abs=1e-12
    )


def test_by_hand() -> None:
    """Two images of three classes: 0.7 for the label, which is right, and 0.1 for it, where 0.6 is wrong."""
    log = np.log([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
    labels = np.array([0, 2])
    found = scores.Scores.of(log, labels)
    assert found.accuracy == 0.5
    assert found.macro_accuracy == 0.5
    assert found.nll == pytest.approx(-(math.log(0.7) + math.log(0.1)) / 2)
    assert found.brier == pytest.approx(((0.3**2 + 0.2**2 + 0.1**2) + (0.3**2 + 0.6**2 + 0.9**2)) / 2)
    # Both in bins of their own: half of the images each, |1 - 0.7| and |0 - 0.6|.
    assert found.calibration_error == pytest.approx((0.3 + 0.6) / 2)


def test_against_scikit_learn() -> None:
    probabilities = scipy.special.softmax(LOGITS.astype(np.float64), axis=1)
    classes = list(range(7))
    assert scores.nll(LOG, LABELS) == pytest.approx(sklearn.metrics.log_loss(LABELS, probabilities, labels=classes))
    one_hot = np.eye(7)[LABELS]
    brier = 7 * sklearn.metrics.mean_squared_error(one_hot, probabilities)
    assert scores.brier(LOG, LABELS) == pytest.approx(brier)
    assert scores.accuracy(LOG, LABELS) == sklearn.metrics.accuracy_score(LABELS, LOGITS.argmax(1))
    assert scores.macro_accuracy(LOG, LABELS) == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(LABELS, LOGITS.argmax(1))
    )
    top5 = sklearn.metrics.top_k_accuracy_score(LABELS, LOG, k=5, labels=classes)
    assert scores.top5(LOG, LABELS) == pytest.approx(top5)


def test_calibration_error_in_a_loop() -> None:
    """Guo et al. 2017, Equation 3: bins (m / 15, (m + 1) / 15]."""
    confidence = scipy.special.softmax(LOGITS.astype(np.float64), axis=1).max(1)
    error = 0.0
    for number in range(15):
        inside = [i for i, c in enumerate(confidence) if number / 15 < c <= (number + 1) / 15]
        if inside:
            accuracy = sum(LOGITS[i].argmax() == LABELS[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            error += len(inside) / len(LABELS) * abs(accuracy - mean)
    assert scores.calibration_error(LOG, LABELS) == pytest.approx(error)


def test_a_confidence_between_two_bins_is_in_the_lower() -> None:
    """0.8 is in (11 / 15, 12 / 15], with 0.75, and not with 0.85: 0.8 and 0.75 are right half the time."""
    log = np.log([[0.8, 0.2], [0.75, 0.25], [0.85, 0.15]])
    error = (abs(1 - (0.8 + 0.75)) + abs(1 - 0.85)) / 3
    assert scores.calibration_error(log, np.array([0, 1, 0])) == pytest.approx(error)


def test_classes_without_images_do_not_count() -> None:
    logits = np.array([[0, -1, -1], [0, -1, -1], [-1, 0, -1]], np.float16)
    labels = np.array([0, 1, 1])
    assert scores.class_accuracies(logits.argmax(1), labels, 3) == pytest.approx([1, 0.5, np.nan], nan_ok=True)
    assert scores.macro_accuracy(scores.log_probabilities(logits), labels) == 0.75


def test_an_ensemble_predicts_the_mean_probability() -> None:
    first, second = np.log([[0.9, 0.1], [0.4, 0.6]]), np.log([[0.2, 0.8], [0.1, 0.9]])
    assert np.exp(scores.mean_of([first, second])) == pytest.approx(np.array([[0.55, 0.45], [0.25, 0.75]]))


def test_the_temperature_is_the_best_of_a_fine_grid() -> None:
    grid = np.geomspace(0.2, 20, 4001)
    losses = [
        -scipy.special.log_softmax(LOGITS.astype(np.float64) / t, axis=1)[np.arange(200), LABELS].mean() for t in grid
    ]
    assert scores.best_temperature(LOGITS, LABELS) == pytest.approx(grid[np.argmin(losses)], rel=2e-3)


def test_the_temperature_that_made_the_labels_is_found() -> None:
    logits = 6 * RNG.standard_normal((20000, 5))
    probabilities = scipy.special.softmax(logits / 2.5, axis=1)
    labels = (probabilities.cumsum(1) < RNG.random((20000, 1))).sum(1)
    assert scores.best_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("sure", [0.01, 1, 20])
@pytest.mark.parametrize("labels", [LOGITS.argmax(1), LOGITS.argmin(1)], ids=["all right", "all the least likely"])
def test_labels_without_a_best_temperature(labels: np.ndarray, sure: float) -> None:
    """Not even where NLL is 0 to float64 long before."""
    assert scores.best_temperature(sure * LOGITS, labels) is None
