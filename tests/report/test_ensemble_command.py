"""`chimeramix ensemble RUN RUN ...`."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from chimeramix.cli import main
from tests.report.predicted import add_predicted, answers, write_predictions
from tests.report.store import add_run
from tests.report.test_report import Output, cells

LABELS = [0, 1, 2, 0, 1]


def add_two(runs: Path) -> list[Path]:
    """Two methods on one split."""
    rng = np.random.default_rng(0)
    return [
        add_predicted(runs, name, 0, answers(0, 1, 2, 1, 0) + rng.normal(size=(5, 3)), LABELS) for name in ("A", "B")
    ]


def test_each_run_and_their_mean_probability(tmp_path: Path, capsys: Output) -> None:
    folders = add_two(tmp_path)
    assert main(["ensemble", *map(str, folders)]) == 0
    printed = capsys.readouterr().out
    lines = [cells(line) for line in printed.splitlines()]
    logits = [np.load(folder / "predictions.npz")["logits"].astype(np.float64) for folder in folders]
    mean = np.mean([scipy.special.softmax(each, axis=1) for each in logits], axis=0)
    (found,) = [line for line in lines if line and line[0] == "ensemble of 2"]
    assert found[1:4] == [
        f"{100 * sklearn.metrics.accuracy_score(LABELS, mean.argmax(1)):.2f}",
        f"{100 * sklearn.metrics.balanced_accuracy_score(LABELS, mean.argmax(1)):.2f}",
        f"{sklearn.metrics.log_loss(LABELS, mean):.3f}",
    ]
    assert found[5] == f"{3 * sklearn.metrics.mean_squared_error(np.eye(3)[LABELS], mean):.3f}"
    assert [line[0] for line in lines if len(line) == 6] == ["run", *(folder.name for folder in folders), found[0]]
    assert "cifair10: 5 test images" in printed


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_other_formats(tmp_path: Path, capsys: Output, form: str) -> None:
    assert main(["ensemble", *map(str, add_two(tmp_path)), "--format", form]) == 0
    assert ("| **ensemble of 2** |" if form == "markdown" else r"\textbf{ensemble of 2} &") in capsys.readouterr().out


def test_members_of_different_splits_are_named_as_such(tmp_path: Path, capsys: Output) -> None:
    folders = add_two(tmp_path)
    for folder, indices in zip(folders, ([1, 2, 3], [3, 4, 5]), strict=True):
        (folder / "split.json").write_text(json.dumps({"indices": indices}))
    assert main(["ensemble", *map(str, folders)]) == 0
    assert "trained on different splits: 3 labelled images each, 5 together" in capsys.readouterr().out
    (folders[1] / "split.json").write_text(json.dumps({"indices": [3, 2, 1]}))
    assert main(["ensemble", *map(str, folders)]) == 0
    assert "split" not in capsys.readouterr().out


def refusal(output: Output, *folders: Path) -> str:
    assert main(["ensemble", *map(str, folders)]) == 2
    (line,) = output.readouterr().err.splitlines()
    return line


def test_what_forms_no_ensemble(tmp_path: Path, capsys: Output) -> None:
    first, second = add_two(tmp_path)
    assert "needs two runs or more" in refusal(capsys, first)
    assert "are the same run" in refusal(capsys, first, second, first)
    assert "has no result.json" in refusal(capsys, first, tmp_path)
    assert "has no predictions.npz" in refusal(capsys, first, add_run(tmp_path, "C"))
    other = add_predicted(tmp_path, "D", 0, answers(*LABELS), LABELS, dataset="cifar10")
    assert "are of different images (cifair10 and cifar10)" in refusal(capsys, first, other)
    other = add_predicted(tmp_path, "E", 0, answers(*LABELS), LABELS, fold=0, facts={"classes": ["a", "b", "c"]})
    assert "predicted validation images, " in refusal(capsys, first, other)
    write_predictions(second, answers(*LABELS), LABELS[::-1])
    assert "held out different images, or have other labels" in refusal(capsys, first, second)
    (second / "predictions.npz").write_bytes(b"cut")
    assert "predictions.npz is damaged" in refusal(capsys, first, second)
