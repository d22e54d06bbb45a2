"""What predictions are worth: accuracies, and how far probabilities can be believed.

log_probabilities are `[M, K]` float64, natural logarithms; labels `[M]` int64. NLL is the mean negative logarithm of
the label's probability, in nats. The expected calibration error (Guo et al. 2017, Equation 3) compares, in 15 bins of
equal width over the highest probability, (lo, hi], the accuracy with the mean of that probability. The Brier score
(Brier 1950) is the mean over images of the squared differences to the one-hot label, summed over all K classes: 0 to 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15

_COLDEST, _HOTTEST = 0.01, 100.0  # temperatures between which the best is looked for

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def log_probabilities(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """The logarithm of the softmax of logits `[M, K]`, divided by the temperature first."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    normalised: Floats = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    return normalised


def accuracy(log_probabilities: NDArray[Any], labels: Ints) -> float:
    """Share of images whose highest probability is the label's; logits do as well."""
    return float((log_probabilities.argmax(1) == labels).mean())


def top5(log_probabilities: NDArray[Any], labels: Ints) -> float:
    """Share of images with fewer than five classes above the label."""
    of_label = np.take_along_axis(log_probabilities, labels[:, None], 1)
    return float(((log_probabilities > of_label).sum(1) < 5).mean())


def macro_accuracy(log_probabilities: NDArray[Any], labels: Ints) -> float:
    """Mean over the classes of the accuracy within the class; classes without images do not count."""
    return float(np.nanmean(class_accuracies(log_probabilities.argmax(1), labels, log_probabilities.shape[1])))


def class_accuracies(answers: Ints, labels: Ints, classes: int) -> Floats:
    """`[K]`, the accuracy within each class; NaN for a class without images."""
    images = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[answers == labels], minlength=classes)
    return np.divide(right, images, out=np.full(classes, np.nan), where=images > 0)


METRIC_OF: dict[str, Callable[[NDArray[Any], Ints], float]] = {
    "accuracy": accuracy,
    "top5": top5,
    "macro_accuracy": macro_accuracy,
}
"""By the names of `chimeramix.report.results.METRICS`."""


def nll(log_probabilities: Floats, labels: Ints) -> float:
    return float(-np.take_along_axis(log_probabilities, labels[:, None], 1).mean())


def calibration_error(log_probabilities: Floats, labels: Ints) -> float:
    """The expected calibration error, 0 to 1."""
    confidence = np.exp(log_probabilities.max(1))
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    gaps = (log_probabilities.argmax(1) == labels) - confidence
    # Images of a bin times the difference of its means is the sum of the differences.
    return float(np.abs(np.bincount(bins, gaps, BINS)).sum() / len(labels))


def brier(log_probabilities: Floats, labels: Ints) -> float:
    probabilities = np.exp(log_probabilities)
    of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0]
    # Of the label (1 - p)², of the others p².
    return float((np.square(probabilities).sum(1) - 2 * of_label + 1).mean())


@dataclass(frozen=True)
class Scores:
    """All of the above of one set of predictions."""

    accuracy: float
    macro_accuracy: float
    nll: float
    calibration_error: float
    brier: float

    @classmethod
    def of(cls, log_probabilities: Floats, labels: Ints) -> "Scores":
        measures = (accuracy, macro_accuracy, nll, calibration_error, brier)
        return cls(*(measure(log_probabilities, labels) for measure in measures))


def mean_of(members: list[Floats]) -> Floats:
    """The logarithm of the mean probability over members, `[M, K]`: what an ensemble predicts."""
    together: Floats = np.logaddexp.reduce(members, axis=0) - np.log(len(members))
    return together


def best_temperature(logits: NDArray[Any], labels: Ints) -> float | None:
    """The temperature with the least NLL (Guo et al. 2017, section 4.2), looked for between 0.01 and 100.

    None where there is none: with all answers right colder is always better, and where labels have no more than the
    mean logit, hotter.
    """
    from scipy.optimize import minimize_scalar

    scores = logits.astype(np.float64)
    of_labels = np.take_along_axis(scores, labels[:, None], 1)[:, 0]
    # NLL is convex in 1 / T. These are its slopes' signs at both ends.
    if (of_labels == scores.max(1)).all() or of_labels.mean() <= scores.mean():
        return None

    def loss(log_temperature: float) -> float:
        return nll(log_probabilities(scores, float(np.exp(log_temperature))), labels)

    ends = float(np.log(_COLDEST)), float(np.log(_HOTTEST))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))
