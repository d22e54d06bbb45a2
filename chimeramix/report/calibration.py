"""How far the probabilities of runs can be believed: NLL, calibration error and Brier score, and the first two after
temperature scaling (Guo et al. 2017).

A temperature is never fitted to the images that it is judged on: it comes from the held-out images of validation runs
of the same method, data set, samples per class and settings, all of them together; those of `validation.extra` are
labels beyond the subset, and not used.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chimeramix.report.predicted import Reader
from chimeramix.report.results import Result, by_table
from chimeramix.report.scores import BINS, Floats, Scores, best_temperature, calibration_error, log_probabilities, nll
from chimeramix.report.tables import ABSENT, legends, mean_and_std, name_of
from chimeramix.runs.spec import identity_of, size_name
from chimeramix.terminal import Table, Text

OPTION = "--calibration"


def calibration_tables(
    results: list[Result], settings: dict[str, dict[str, Any]], everything: list[Result], damaged: dict[Path, str]
) -> list[Table]:
    """A table for each data set, model and part; a row per method and number of samples.

    Args:
        results: to be shown.
        settings: the configurations that `FinishedRun.settings` names.
        everything: also those that are not shown, whose held-out images may give a temperature.

    Raises:
        UserError: where no run has predictions.
    """
    reader = Reader(OPTION, damaged)
    held_out = defaultdict(list)
    for result in everything:
        if result.part == "validation" and not _with_extra(result, settings):
            held_out[_without_validation(result, settings)].append(result)
    tables = []
    for (dataset, model, part), group in by_table(results).items():
        rows, lacking, vague = [], [], []
        for result in group:
            others = held_out[_without_validation(result, settings)] if part == "test" else []
            temperature = _temperature(others, reader)
            scores = _scores(result, temperature, reader)
            if not scores:
                continue
            rows.append(_row(result, temperature, scores))
            if part == "test" and not others:
                lacking.append(name_of(result))
            elif part == "test" and temperature is None:
                vague.append(name_of(result))
        notes = legends(group)
        if lacking:
            notes.append(
                f"no temperature for {'; '.join(lacking)}: validation runs of the same settings would give it, "
                "validation.fold=0,1,2,3,4"
            )
        if vague:
            notes.append(f"the held-out images of {'; '.join(vague)} tell no temperature: all right, or all by chance")
        if part == "validation":
            notes.append("no temperature: it would be fitted to the images that it is judged on")
        if rows:
            tables.append(
                Table(
                    title=f"{dataset}, {model}: calibration on {part} images",
                    header=["method", "per class", "runs", "NLL", "ECE", "Brier", "T", "NLL at T", "ECE at T"],
                    rows=rows,
                    caption=f"mean ± std over runs; NLL in nats; ECE: expected calibration error, {BINS} bins of equal "
                    "width, in %; Brier: squared differences summed over classes, 0 to 2; T: temperature with the "
                    "least NLL on the held-out images of validation runs",
                    notes=notes,
                )
            )
    if not tables:
        raise reader.nothing("there is nothing to show")
    return reader.noted(tables)


def _without_validation(result: Result, settings: dict[str, dict[str, Any]]) -> tuple[object, ...]:
    """What a result and its validation runs have in common."""
    run = next(iter(result.runs.values()))
    common = {key: value for key, value in settings[run.settings].items() if key not in ("validation", "facts")}
    # A validation run does not look at the test images of a folder, and knows less of them.
    facts = settings[run.settings].get("facts") or {}
    common["facts"] = {key: facts.get(key) for key in ("classes", "num_train")}
    return run.dataset, result.model, result.samples_per_class, result.name, identity_of(common)


def _with_extra(result: Result, settings: dict[str, dict[str, Any]]) -> bool:
    """Whether the held-out images come on top of the subset: a temperature from them would use more labels."""
    run = next(iter(result.runs.values()))
    return (settings[run.settings].get("validation") or {}).get("extra") is not None


def _temperature(validation: Sequence[Result], reader: Reader) -> float | None:
    runs = [run for result in validation for run in result.runs.values()]
    found = [predictions for predictions in map(reader, runs) if predictions is not None]
    if not found:
        return None
    logits, labels = (np.concatenate([getattr(each, name) for each in found]) for name in ("logits", "labels"))
    return best_temperature(logits, labels)


def _scores(result: Result, temperature: float | None, reader: Reader) -> list[tuple[float, ...]]:
    """For each run NLL, ECE and Brier score, and with a temperature NLL and ECE at it."""
    found = []
    for run in result.runs.values():
        predictions = reader(run)
        if predictions is None:
            continue
        scores = Scores.of(log_probabilities(predictions.logits), predictions.labels)
        row = [scores.nll, 100 * scores.calibration_error, scores.brier]
        if temperature is not None:
            scaled: Floats = log_probabilities(predictions.logits, temperature)
            row += [nll(scaled, predictions.labels), 100 * calibration_error(scaled, predictions.labels)]
        found.append(tuple(row))
    return found


def _row(result: Result, temperature: float | None, scores: list[tuple[float, ...]]) -> list[Text]:
    cells = [
        mean_and_std(values, digits) for values, digits in zip(zip(*scores, strict=True), (3, 2, 3, 3, 2), strict=False)
    ]
    shown = ABSENT if temperature is None else f"{temperature:.2f}"
    scaled = [ABSENT, ABSENT] if temperature is None else cells[3:]
    texts = [result.method, size_name(result.samples_per_class), str(len(scores)), *cells[:3], shown, *scaled]
    return [Text(text) for text in texts]
