"""`chimeramix report`: tables, comparisons and plots as a user gets them."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from chimeramix.cli import main
from chimeramix.report.papers import paper_figures
from tests.report.store import add_run

Output = pytest.CaptureFixture[str]


def report(output: Output, runs: Path, *options: str) -> str:
    assert main(["report", str(runs), *options]) == 0
    return output.readouterr().out


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods at 5 and 10 samples per class; one cell empty, one a seed short."""
    for seed, (baseline, ours) in enumerate([(0.30, 0.33), (0.32, 0.37)]):
        add_run(tmp_path, "Baseline", seed, baseline)
        add_run(tmp_path, "ChimeraMix+Seg", seed, ours)
    add_run(tmp_path, "Baseline", 0, 0.40, samples_per_class=10)
    return tmp_path


def cells(line: str) -> list[str]:
    return [cell for cell in re.split(r"\s{2,}", line.strip()) if cell]


def test_methods_by_samples_per_class(runs: Path, capsys: Output) -> None:
    printed = report(capsys, runs)
    assert "cifair10, wideresnet_16_8: test accuracy in % by samples per class" in printed
    rows = [cells(line) for line in printed.splitlines()]
    assert ["method", "5", "10"] in rows
    baseline, ours = (
        rows.index(["Baseline", "31.00 ± 1.41", "40.00 [1]"]),
        rows.index(["ChimeraMix+Seg", "35.00 ± 2.83", "–"]),
    )
    assert baseline < ours  # best last
    assert "mean ± std over 2 seeds; [n]: of n seeds only; –: no run" in printed


def test_a_narrow_terminal_loses_nothing(runs: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (20, 30, 50, 100):
        add_run(runs, "ChimeraMix+Seg", 0, 0.4, samples_per_class=size)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "60")
    printed = report(capsys, runs)
    for text in ("ChimeraMix+Seg", "Baseline", "31.00 ± 1.41", "wideresnet_16_8", "ChimeraMix Table 1"):
        assert text in printed
    assert "…" not in printed


def test_markdown_with_the_best_in_bold(runs: Path, capsys: Output) -> None:
    printed = report(capsys, runs, "--format", "markdown")
    assert "| method | 5 | 10 |\n| --- | ---: | ---: |\n| Baseline | 31.00 ± 1.41 | **40.00 [1]** |\n" in printed
    assert "| ChimeraMix+Seg | **35.00 ± 2.83** | – |" in printed


def test_latex_for_booktabs(runs: Path, capsys: Output) -> None:
    printed = report(capsys, runs, "--format", "latex", "--compare", "ChimeraMix+Seg", "Baseline")
    assert r"\begin{tabular}{lrr}" in printed
    assert r"Baseline & 31.00 $\pm$ 1.41 & \textbf{40.00 [1]} \\" in printed
    assert r"wideresnet\_16\_8" in printed
    assert "$+4.00$" in printed
    assert printed.count(r"\toprule") == printed.count(r"\bottomrule") == printed.count(r"\end{table}") == 3
    # Nothing that LaTeX would take for a command or a comment.
    assert not re.search(r"(?<!\\)[%_#]", printed)
    assert printed.isascii()


def test_csv_holds_all_figures_in_full(runs: Path, capsys: Output) -> None:
    rows = list(csv.DictReader(io.StringIO(report(capsys, runs, "--format", "csv"))))
    (ours,) = [row for row in rows if row["method"] == "ChimeraMix+Seg"]
    assert float(ours["mean"]) == 35.0
    assert float(ours["std"]) == pytest.approx(np.std([33, 37], ddof=1), rel=1e-15)
    assert (ours["dataset"], ours["samples_per_class"], ours["seeds"], ours["best"]) == ("cifair10", "5", "2", "True")
    assert len(rows) == 3


def test_the_papers_figures_beside_ours(runs: Path, capsys: Output) -> None:
    """ChimeraMix's Table 1 has 31.37 ± 3.28 for the baseline at 5 per class, 38.09 ± 1.34 at 10."""
    rows = [cells(line) for line in report(capsys, runs).splitlines()]
    common = ["cifair10", "wideresnet_16_8", "Baseline"]
    assert [*common, "5", "31.00 ± 1.41", "31.37 ± 3.28", "-0.37", "yes", "ChimeraMix Table 1"] in rows
    assert [*common, "10", "40.00", "38.09 ± 1.34", "+1.91", "no", "ChimeraMix Table 1"] in rows


def test_another_model_or_data_set_has_no_paper_to_compare_with(tmp_path: Path, capsys: Output) -> None:
    add_run(tmp_path, model="wideresnet_16_8 (width=2)")
    add_run(tmp_path, dataset="digits")
    assert "Against the papers" not in report(capsys, tmp_path)


@pytest.mark.parametrize(
    ("key", "mean", "std", "source"),
    [
        # Read in the papers' tables by eye.
        (("cifair10", "wideresnet_16_8", "Baseline", 5), 31.37, 3.28, "ChimeraMix Table 1"),
        (("cifar100", "wideresnet_28_10", "Baseline", 25), 38.39, 0.18 * 3**0.5, "cGLO Table 1"),
        (("cifar10", "resnet18", "Baseline", None), 95.07, None, "MiAMix Table 2"),
    ],
)
def test_figures_are_the_papers(
    key: tuple[str, str, str, int | None], mean: float, std: float | None, source: str
) -> None:
    figure = paper_figures()[key]
    assert figure.mean == mean
    assert figure.std == (None if std is None else pytest.approx(std, abs=0.005))  # cGLO gives standard errors over 3
    assert figure.source == source


def test_pairs_over_the_same_splits(tmp_path: Path, capsys: Output) -> None:
    """The interval is SciPy's paired t interval; a split that only one of the two has seen is left out."""
    ours, baseline = [0.36, 0.33, 0.37, 0.30, 0.345], [0.31, 0.32, 0.33, 0.29, 0.30]
    for seed, (first, second) in enumerate(zip(ours, baseline, strict=True)):
        add_run(tmp_path, "MixUp", seed, first)
        add_run(tmp_path, "Baseline", seed, second)
    add_run(tmp_path, "MixUp", 99, 0.9)
    printed = report(capsys, tmp_path, "--compare", "MixUp", "Baseline")
    interval = scipy.stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    (row,) = [cells(line) for line in printed.splitlines() if "[+" in line]
    low, high = (float(text) for text in re.findall(r"[+-][\d.]+", row[4]))
    assert (low, high) == (pytest.approx(100 * interval.low, abs=0.005), pytest.approx(100 * interval.high, abs=0.005))
    assert float(row[3]) == pytest.approx(100 * (np.mean(ours) - np.mean(baseline)), abs=0.005)
    assert row[5] == "5"


def held_out(**keys: Any) -> dict[str, Any]:
    """What a run that validates has in its identity."""
    return {"validation": {"fold": None, "folds": 5, "seed": 0, "extra": None, "published": False, **keys}}


def test_figures_on_images_that_were_held_out_otherwise_are_not_compared(tmp_path: Path, capsys: Output) -> None:
    """Fold 0 of 2 has other images than fold 0 of 5, and leaves other ones to learn from."""
    for method, accuracy in (("Baseline", 0.3), ("FMix", 0.2)):
        add_run(tmp_path, method, accuracy=accuracy, settings=held_out(fold=0))
    alone = " ".join(report(capsys, tmp_path).split())
    assert "held out: a fold of 5" in alone

    add_run(tmp_path, "MixUp", accuracy=0.4, settings=held_out(fold=0, folds=2))
    add_run(tmp_path, "CutMix", accuracy=0.5, settings=held_out(extra=20))
    printed = report(capsys, tmp_path, "--format", "markdown")
    for name, score in (("Baseline", "30.00"), ("MixUp", "40.00"), ("CutMix", "50.00")):
        assert f"| {name} | **{score}** |" in printed
    assert "- held out: a fold of 5\n- held out for MixUp at 5: a fold of 2\n" in printed
    assert "- held out for CutMix at 5: 20 further images per class, which are more labels" in printed
    assert main(["report", str(tmp_path), "--compare", "MixUp", "Baseline"]) == 2
    assert "have no split in common" in capsys.readouterr().err


def test_names_may_leave_out_weights_and_views(tmp_path: Path, capsys: Output) -> None:
    for method, accuracy in (("Baseline", 0.3), ("MixUp", 0.35)):
        for seed in (0, 1):
            add_run(tmp_path, method, seed, accuracy, settings={"evaluation": {"views": "flip"}})
    for options in (("--compare", "MixUp", "Baseline"), ("--against", "Baseline")):
        assert "+5.00" in report(capsys, tmp_path, *options)


GEM_0 = {"split": {"_target_": "chimeramix.data.GEM", "number": 0}}


@pytest.mark.parametrize(
    ("size", "settings", "dependent"),
    [(5, {}, False), (5, {"split_seed": 0}, True), (50, GEM_0, True), (None, {}, True)],
)
def test_pairs_that_share_labelled_images_are_named(
    size: int | None, settings: dict[str, Any], dependent: bool, tmp_path: Path, capsys: Output
) -> None:
    """Seeds of one split, drawn or published, or of all images. The split seed, by default the seed, draws nothing of a
    published one."""
    for seed in (0, 1, 2):
        add_run(tmp_path, "MixUp", seed, 0.4 + seed / 100, samples_per_class=size, settings=settings)
        add_run(tmp_path, "Baseline", seed, 0.4, samples_per_class=size, settings=settings)
    printed = " ".join(report(capsys, tmp_path, "--compare", "MixUp", "Baseline").split())
    assert ("too narrow: seeds and folds of one split share their images" in printed) == dependent


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("MixUp", "Baseline"), "'MixUp' is not in the table; its methods are: Baseline; ChimeraMix+Seg; Late; Wide"),
        (("Late", "Baseline"), "have no split in common"),
        (("Late", "Baseline", "--format", "csv"), "--format csv"),
        (("Late, wideresnet_16_8", "Wide"), "are of different models, which --against compares"),
    ],
)
def test_what_cannot_be_paired_is_refused(runs: Path, capsys: Output, pair: tuple[str, ...], expected: str) -> None:
    add_run(runs, "Late", 7)
    add_run(runs, "Wide", model="wideresnet_28_10")
    assert main(["report", str(runs), "--compare", *pair]) == 2
    assert expected in capsys.readouterr().err


def test_plots(runs: Path, tmp_path: Path, capsys: Output) -> None:
    """A figure of all sizes and one of each size's training, both as PNG and as SVG whose text can be searched."""
    records = [
        {"epoch": 1, "step": 10, "loss": 2.0, "train_accuracy": 0.2},
        {"epoch": 2, "step": 20, "loss": 1.5, "train_accuracy": 0.4, "test": {"accuracy": 0.3, "loss": 2.1}},
    ]
    for seed in (3, 4):
        add_run(runs, "MixUp", seed, metrics=records)
    folder = tmp_path / "plots"
    assert "6 plots are in" in report(capsys, runs, "--plots", str(folder))
    stem = "cifair10-wideresnet_16_8"
    stems = [f"{stem}-accuracy", f"{stem}-n10-training", f"{stem}-n5-training"]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}.{kind}" for name in stems for kind in ("png", "svg")
    ]
    for name in stems:
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 400
    drawn = (folder / f"{stem}-accuracy.svg").read_text()
    for text in ("ChimeraMix+Seg", "samples per class", "mean ± std over 2 seeds"):
        assert text in drawn
    again = tmp_path / "again"
    report(capsys, runs, "--plots", str(again))
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_unfinished_runs_are_counted(runs: Path, capsys: Output) -> None:
    for number, expected in enumerate(("1 classifier run is not", "2 classifier runs are not")):
        folder = runs / "classifier" / f"unfinished{number}"
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps({"role": "classifier", "seed": 100 + number}))
        assert expected in report(capsys, runs)


def test_a_damaged_history_is_named(runs: Path, tmp_path: Path, capsys: Output) -> None:
    folder = add_run(runs, "MixUp", metrics=[])
    (folder / "metrics.jsonl").write_text('{"step": 1')
    assert main(["report", str(runs), "--plots", str(tmp_path / "plots")]) == 2
    assert "metrics.jsonl is damaged" in capsys.readouterr().err
