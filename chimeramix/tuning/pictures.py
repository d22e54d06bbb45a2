"""Pictures of a study, each as PNG and SVG: the best so far, the keys' importance, and a slice for each key."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimeramix.config.search import Axis
from chimeramix.files import save_figure
from chimeramix.tuning.study import Study
from chimeramix.tuning.trials import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES: dict[str, dict[str, Any]] = {
    "complete": {"color": "C0", "marker": "o", "label": "complete"},
    "stopped": {"color": "C1", "marker": "v", "label": "stopped early"},
}


def draw_study(study: Study, trials: Sequence[Trial], shares: Mapping[str, float], metric: str) -> list[Path]:
    """Draws into the study's folder.

    Args:
        shares: importance of the keys; without any, that picture is left out.

    Returns:
        The files.

    Raises:
        RunFailure: where they can't be written.
    """
    label = f"validation {metric.replace('_', ' ')}" + ("" if metric == "loss" else " in %")
    files = save_figure(_best_so_far(study, trials, metric, label), study.folder / "best")
    files += save_figure(_slices(study, trials, metric, label), study.folder / "slices")
    if shares:
        files += save_figure(_importance(study, shares), study.folder / "importance")
    return files


def _scaled(score: float | None, metric: str) -> float:
    assert score is not None
    return score if metric == "loss" else 100 * score


def _best_so_far(study: Study, trials: Sequence[Trial], metric: str, label: str) -> "Figure":
    """Over trials, and over the steps that all runs so far have taken."""
    figure, axes = _figure(2, study)
    steps = list(accumulate(trial.steps for trial in trials))
    for axis, places, name in zip(
        axes, ([trial.number for trial in trials], steps), ("trial", "training steps"), strict=True
    ):
        for state, style in _STYLES.items():
            chosen = [(place, trial) for place, trial in zip(places, trials, strict=True) if trial.state == state]
            if chosen:
                heights = [_scaled(trial.score, metric) for _, trial in chosen]
                axis.scatter([place for place, _ in chosen], heights, s=16, alpha=0.6, **style)
        complete = [(place, trial) for place, trial in zip(places, trials, strict=True) if trial.state == "complete"]
        if complete:
            best = accumulate((_scaled(trial.score, metric) for _, trial in complete), max if study.maximise else min)
            line = [*best]
            ends = [*(place for place, _ in complete), places[-1]]
            axis.step(ends, [*line, line[-1]], where="post", color="C0", label="best so far")
        axis.set(xlabel=name, ylabel=label)
        axis.locator_params(axis="x", nbins=6, integer=True)
        axis.grid(alpha=0.3)
    if trials:
        axes[-1].legend(fontsize=8)
    return figure


def _slices(study: Study, trials: Sequence[Trial], metric: str, label: str) -> "Figure":
    """The score over each key's value, with the others as they came."""
    figure, axes = _figure(len(study.axes), study)
    for axis, searched in zip(axes, study.axes, strict=True):
        for state, style in _STYLES.items():
            chosen = [trial for trial in trials if trial.state == state]
            if chosen:
                places = [_place(searched, trial) for trial in chosen]
                axis.scatter(places, [_scaled(trial.score, metric) for trial in chosen], s=16, alpha=0.6, **style)
        if searched.kind == "choice":
            axis.set_xticks(range(len(searched.choices)), labels=searched.choices, rotation=30, ha="right")
            axis.set_xlim(-0.5, len(searched.choices) - 0.5)
        elif searched.log:
            axis.set_xscale("log")
        axis.set_xlabel(searched.key, parse_math=False)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(label)
    if any(trial.state in _STYLES for trial in trials):
        axes[-1].legend(fontsize=8)
    return figure


def _place(axis: Axis, trial: Trial) -> float:
    value = trial.values[axis.key]
    return axis.choices.index(str(value)) if axis.kind == "choice" else float(value)


def _importance(study: Study, shares: Mapping[str, float]) -> "Figure":
    figure, (axis,) = _figure(1, study)
    keys = list(shares)[::-1]
    axis.barh(range(len(keys)), [shares[key] for key in keys], color="C0")
    axis.set_yticks(range(len(keys)), labels=keys)
    axis.set(xlabel="importance (PED-ANOVA, share of 1)")
    axis.grid(alpha=0.3, axis="x")
    return figure


def _figure(panels: int, study: Study) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure  # without pyplot: no display is needed

    figure = Figure(figsize=(max(5.0, 3.6 * panels), 3.6), layout="constrained")
    figure.suptitle(study.folder.name, fontsize=9, parse_math=False)
    return figure, figure.subplots(1, panels, squeeze=False)[0]
