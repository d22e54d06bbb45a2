"""What a study says: a line for a trial, the table at the end."""

from collections.abc import Mapping, Sequence

from chimeramix.terminal import Table, Text
from chimeramix.tuning.options import Options
from chimeramix.tuning.study import Study
from chimeramix.tuning.trials import Trial, best_of

_MOST = 20  # rows


def score_text(score: float | None, std: float | None, metric: str, digits: int = 2) -> str:
    """`71.20 ± 2.10`, in percent but for a loss."""
    if score is None:
        return ""
    factor, digits = (1, digits + 1) if metric == "loss" else (100, digits)
    spread = "" if std is None else f" ± {factor * std:.{digits}f}"
    return f"{factor * score:.{digits}f}{spread}"


def describe(trial: Trial, best: Trial | None, metric: str) -> str:
    """`trial 7: optimizer.lr=0.01: validation accuracy 71.20 ± 2.10 %; the best is trial 3 with 73.00 %`."""
    values = " ".join(f"{key}={value}" for key, value in trial.values.items())
    unit = "" if metric == "loss" else " %"
    if trial.state == "failed":
        return f"trial {trial.number}: {values}: failed: {trial.reason}"
    score = f"validation {metric.replace('_', ' ')} {score_text(trial.score, trial.std, metric)}{unit}"
    stopped = " (stopped early)" if trial.state == "stopped" else ""
    lead = ""
    if best is not None and best.number != trial.number:
        lead = f"; the best is trial {best.number} with {score_text(best.score, None, metric)}{unit}"
    elif best is not None:
        lead = "; the best so far"
    return f"trial {trial.number}: {values}: {score}{stopped}{lead}"


def ranked(trials: Sequence[Trial], maximise: bool) -> list[Trial]:
    """Best first; those that were stopped behind the complete ones, the failed ones last."""
    order = {"complete": 0, "stopped": 1, "failed": 2}
    sign = -1 if maximise else 1
    # A stopped trial that came further was better at the rung where both were.
    return sorted(
        trials, key=lambda trial: (order[trial.state], -len(trial.rungs), sign * (trial.score or 0.0), trial.number)
    )


def trials_table(study: Study, trials: Sequence[Trial], shares: Mapping[str, float], options: Options) -> Table:
    """The best trials of a study."""
    metric = options.metric
    unit = "" if metric == "loss" else " in %"
    keys = [axis.key for axis in study.axes]
    best = best_of(trials, study.maximise)
    rows = []
    for trial in ranked(trials, study.maximise)[:_MOST]:
        parts = len({run.part for run in trial.runs if run.score is not None})
        score = score_text(trial.score, trial.std, metric) if trial.state != "failed" else "failed"
        texts = [str(trial.number), *(str(trial.values[key]) for key in keys)]
        texts += [
            f"{score} stopped" if trial.state == "stopped" else score,
            f"{parts}/{options.parts}",
            f"{trial.steps:,}",
        ]
        rows.append([Text(text, bold=best is not None and trial.number == best.number) for text in texts])
    header = ["trial", *keys, f"validation {metric.replace('_', ' ')}{unit}", "parts", "steps"]
    seeds = f", {options.seeds} seeds" if options.seeds > 1 else ""
    caption = f"mean ± standard deviation over {options.describe_parts()}{seeds}"
    if len(trials) > _MOST:
        caption += f"; {len(trials) - _MOST} more trials: {study.record}"
    notes = []
    if shares:
        notes.append("importance: " + ", ".join(f"{key} {share:.2f}" for key, share in shares.items()))
    elif len(keys) > 1:
        notes.append("importance of the keys: not known of so few complete trials")
    return Table(f"Study {study.folder.name}", header, rows, caption, left=0, notes=notes)
