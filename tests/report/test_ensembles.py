"""`chimeramix report --ensemble`: seeds of a method on one split, put together."""

from pathlib import Path

import numpy as np
import pytest

from tests.report.predicted import add_predicted, answers
from tests.report.test_report import Output, cells, main, report

LABELS = [0, 1, 2, 0]
NARROW = "too narrow: seeds and folds of one split share their images"


def row(printed: str, method: str, columns: int) -> list[str]:
    (found,) = [
        line for line in map(cells, printed.splitlines()) if line and line[0] == method and len(line) == columns
    ]
    return found


def test_the_mean_probability_of_the_seeds_of_a_split(tmp_path: Path, capsys: Output) -> None:
    """Split 0: members are right at 2, 2 and 3 of 4 images; together at all, because for each image those that are
    right are surer or more. Split 1: both are right at 2 images, and the one that is surer wins."""
    for seed, logits in enumerate([answers(0, 1, 1, 1), answers(1, 1, 2, 2, sure=3), answers(0, 2, 2, 0, sure=5)]):
        add_predicted(tmp_path, "Baseline", seed, logits, LABELS, split_seed=0)
    for seed, logits in enumerate([answers(0, 1, 0, 1, sure=9), answers(1, 0, 2, 0, sure=1)]):
        add_predicted(tmp_path, "Baseline", seed, logits, LABELS, split_seed=1)
    printed = report(capsys, tmp_path, "--ensemble")
    alone = [100 * (2 + 2 + 3) / 12, 50.0]
    together = [100.0, 50.0]
    gains = np.subtract(together, alone)
    half = 12.7062 * np.std(gains, ddof=1) / np.sqrt(2)  # Student's t with 1 degree of freedom, from a table
    assert row(printed, "Baseline", 8) == [
        *("Baseline", "5", "2 to 3", "2"),
        f"{np.mean(alone):.2f} ± {np.std(alone, ddof=1):.2f}",
        f"{np.mean(together):.2f} ± {np.std(together, ddof=1):.2f}",
        f"{gains.mean():+.2f}",
        f"[{gains.mean() - half:+.2f}, {gains.mean() + half:+.2f}]",
    ]
    assert NARROW not in " ".join(printed.split()), "each split has its own images"


def test_no_ensemble_across_splits(tmp_path: Path, capsys: Output) -> None:
    """Seeds that follow their split have seen different labelled images."""
    for seed in range(3):
        add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), LABELS, split_seed=seed)
    assert main(["report", str(tmp_path), "--ensemble"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "runs on different splits form no ensemble" in line
    assert "seed=0,1,2 split_seed=0" in line

    add_predicted(tmp_path, "Baseline", 7, answers(0, 1, 2, 1), LABELS, split_seed=1)
    printed = report(capsys, tmp_path, "--ensemble")
    assert row(printed, "Baseline", 8)[2:4] == ["2", "1"]
    assert "alone on their split, so in no ensemble: Baseline at 5 (2 runs)" in printed


def test_published_splits_are_the_same_for_every_split_seed(tmp_path: Path, capsys: Output) -> None:
    """Nothing is drawn there, nor where all images are taken."""
    for seed in range(2):
        gem = {"settings": {"split": {"name": "gem", "number": 1}}}
        for more in (gem, {"samples_per_class": None}):
            add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), LABELS, split_seed=seed, **more)
    printed = report(capsys, tmp_path, "--ensemble")
    rows = [line for line in map(cells, printed.splitlines()) if len(line) == 8]
    assert [line[1:4] for line in rows[1:]] == [["5", "2", "1"], ["all", "2", "1"]]


def test_ensembles_of_each_fold(tmp_path: Path, capsys: Output) -> None:
    for fold in range(2):
        for seed in range(3):
            add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), LABELS, fold=fold)
    printed = report(capsys, tmp_path, "--ensemble")
    assert row(printed, "Baseline", 8)[2:4] == ["3", "2"]
    assert "ensembles of seeds on one split, validation accuracy in %" in printed
    assert NARROW in " ".join(printed.split())


def test_a_single_split_has_no_interval(tmp_path: Path, capsys: Output) -> None:
    for seed in range(2):
        add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, seed), LABELS)
    assert row(report(capsys, tmp_path, "--ensemble"), "Baseline", 8)[4:] == ["87.50", "100.00", "+12.50", "–"]


@pytest.mark.parametrize(("metric", "expected"), [("top5", "100.00"), ("macro_accuracy", "83.33")])
def test_other_metrics(tmp_path: Path, capsys: Output, metric: str, expected: str) -> None:
    for seed in range(2):
        add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 1), LABELS)
    printed = report(capsys, tmp_path, "--ensemble", "--metric", metric)
    assert row(printed, "Baseline", 8)[4:6] == [expected, expected]


def test_runs_of_earlier_versions_are_left_out_and_counted(tmp_path: Path, capsys: Output) -> None:
    folders = [
        add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), LABELS, samples_per_class=size)
        for size in (5, 10)
        for seed in range(3)
    ]
    (folders[0] / "predictions.npz").unlink()
    (folders[3] / "predictions.npz").unlink()
    printed = report(capsys, tmp_path, "--ensemble")
    rows = [line for line in map(cells, printed.splitlines()) if len(line) == 8]
    assert [line[1:3] for line in rows[1:]] == [["5", "2"], ["10", "2"]]
    assert "2 runs left out: no predictions.npz" in printed
    for folder in folders:
        (folder / "predictions.npz").unlink(missing_ok=True)
    assert main(["report", str(tmp_path), "--ensemble"]) == 2
    assert "--ensemble: no run has predictions.npz (copied without, or of earlier versions" in capsys.readouterr().err


def test_damaged_predictions_are_left_out_and_end_with_status_1(tmp_path: Path, capsys: Output) -> None:
    for seed in range(3):
        folder = add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), LABELS)
    (folder / "predictions.npz").write_bytes(b"cut")
    assert main(["report", str(tmp_path), "--ensemble"]) == 1
    printed = capsys.readouterr()
    assert row(printed.out, "Baseline", 8)[2] == "2"
    assert f"{folder / 'predictions.npz'} is damaged" in printed.err


def test_members_must_be_of_the_same_images(tmp_path: Path, capsys: Output) -> None:
    for seed, labels in enumerate([LABELS, LABELS, LABELS[::-1]]):
        folder = add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, 0), labels)
    assert main(["report", str(tmp_path), "--ensemble"]) == 1
    assert f"{folder / 'predictions.npz'} holds other images than" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_other_formats(tmp_path: Path, capsys: Output, form: str) -> None:
    for seed in range(2):
        add_predicted(tmp_path, "Baseline", seed, answers(0, 1, 2, seed), LABELS)
    printed = report(capsys, tmp_path, "--ensemble", "--calibration", "--effort", "--format", form)
    assert ("| Baseline | 5 | 2 | 1 | 87.50 |" if form == "markdown" else "Baseline & 5 & 2 & 1 & 87.50 &") in printed
    assert form == "markdown" or printed.isascii()


@pytest.mark.parametrize("option", ["--ensemble", "--calibration", "--effort"])
@pytest.mark.parametrize("form", ["csv", "runs-csv"])
def test_csv_holds_no_further_tables(tmp_path: Path, capsys: Output, option: str, form: str) -> None:
    add_predicted(tmp_path, "Baseline", 0, answers(0, 1, 2, 0), LABELS)
    assert main(["report", str(tmp_path), option, "--format", form]) == 2
    assert f"--format {form} holds no table of {option}" in capsys.readouterr().err
