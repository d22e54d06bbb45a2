"""`chimeramix ensemble`: the mean probability of several runs, of any methods, beside each of them."""

from pathlib import Path

from chimeramix.errors import UserError
from chimeramix.report.command import show
from chimeramix.report.labels import DataSet
from chimeramix.report.scores import BINS, Scores, log_probabilities, mean_of
from chimeramix.runs.drawn import what_is_left
from chimeramix.runs.predictions import Predictions, read_predictions
from chimeramix.runs.record import Record, read_record
from chimeramix.terminal import Table, Text


def ensemble(folders: list[Path], form: str) -> None:
    """Prints accuracy, NLL, calibration error and Brier score of runs and of their ensemble, on the same images.

    Args:
        folders: of finished classifier runs.
        form: `terminal`, `markdown` or `latex`.

    Raises:
        UserError: for less than two runs, for runs without predictions, and for predictions of other images.
    """
    if len(folders) < 2:
        raise UserError("an ensemble needs two runs or more")
    members: list[tuple[Record, Predictions]] = []
    for folder in folders:
        member = _read(folder)
        for other, first in zip(members, folders, strict=False):
            _check_pair(member, other, folder, first)
        members.append(member)
    show([_table(folders, members)], form)


def _read(folder: Path) -> tuple[Record, Predictions]:
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} is not the folder of a finished run: it has no result.json")
    if record.result["role"] != "classifier":
        raise UserError(f"{folder} is the run of a {record.result['role']}: it predicts no classes")
    predictions = read_predictions(folder, record.result)
    if predictions is None:
        raise UserError(
            f"{folder} has no predictions.npz: it was copied without, or trained with an earlier version; rerun=true "
            "trains it again"
        )
    return record, predictions


def _check_pair(
    member: tuple[Record, Predictions], other: tuple[Record, Predictions], folder: Path, first: Path
) -> None:
    """Raises `UserError` for runs that form no ensemble."""
    (record, predictions), (other_record, other_predictions) = member, other
    if record.result["identity"] == other_record.result["identity"]:
        raise UserError(f"{folder} and {first} are the same run: name each once")
    # First: runs that validate know no test images, so that their data set is another one.
    if predictions.part != other_predictions.part:
        raise UserError(
            f"{folder} predicted {predictions.part} images, {first} {other_predictions.part} images: no ensemble"
        )
    data_sets = [DataSet.of(each.result["dataset"], each.spec) for each in (record, other_record)]
    if data_sets[0] != data_sets[1]:
        names = " and ".join(sorted({each.name for each in data_sets}))
        raise UserError(f"{folder} and {first} are of different images ({names}): no ensemble")
    if not predictions.same_images(other_predictions):
        raise UserError(f"{folder} and {first} held out different images, or have other labels: no ensemble")


def _table(folders: list[Path], members: list[tuple[Record, Predictions]]) -> Table:
    labels = members[0][1].labels
    probabilities = [log_probabilities(predictions.logits) for _, predictions in members]
    rows = [
        _row(folder.name or str(folder), Scores.of(each, labels))
        for folder, each in zip(folders, probabilities, strict=True)
    ]
    rows.append(_row(f"ensemble of {len(members)}", Scores.of(mean_of(probabilities), labels), bold=True))
    result, part = members[0][0].result, members[0][1].part
    note = _other_labels(folders)
    return Table(
        title=f"{result['dataset']}: {len(labels):,} {part} images",
        header=["run", "accuracy in %", "macro accuracy in %", "NLL", "ECE in %", "Brier"],
        rows=rows,
        caption="ensemble: mean of the probabilities; NLL in nats; ECE: expected calibration error, "
        f"{BINS} bins of equal width; Brier: squared differences summed over classes, 0 to 2",
        notes=[note] if note else [],
    )


def _row(name: str, scores: Scores, bold: bool = False) -> list[Text]:
    texts = [
        name,
        f"{100 * scores.accuracy:.2f}",
        f"{100 * scores.macro_accuracy:.2f}",
        f"{scores.nll:.3f}",
        f"{100 * scores.calibration_error:.2f}",
        f"{scores.brier:.3f}",
    ]
    return [Text(text, bold) for text in texts]


def _other_labels(folders: list[Path]) -> str | None:
    """Says so where not all members were trained on the same labelled images."""
    trained_on = [_labelled(folder) for folder in folders]
    known = [images for images in trained_on if images is not None]
    if len(known) < len(trained_on):
        lost = ", ".join(str(folder) for folder, images in zip(folders, trained_on, strict=True) if images is None)
        return f"which labelled images these were trained on is not known, their split.json is gone or damaged: {lost}"
    if all(images == known[0] for images in known):
        return None
    least, most = min(map(len, known)), max(map(len, known))
    each = f"{most}" if least == most else f"{least} to {most}"
    together = len(set().union(*known))
    return f"the members were trained on different splits: {each} labelled images each, {together} together"


def _labelled(folder: Path) -> set[int] | None:
    """Positions of the images that a run was trained on; None where they are lost."""
    drawn = what_is_left(folder)
    return None if drawn is None or not drawn.indices else set(drawn.indices) - set(drawn.held_out)
