"""`chimeramix report --against METHOD`: all methods' differences to one, over the same splits."""

import json
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from chimeramix.cli import main
from chimeramix.report.against import compare_all, draw_against, figure_of
from chimeramix.report.results import summarise
from chimeramix.report.store import read_store
from tests.report.store import add_run
from tests.report.test_report import Output, cells, report

BASELINE = (0.30, 0.34, 0.32)
MIXUP = (0.35, 0.41, 0.36)  # differences of 5, 7 and 4 points


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, (baseline, mixup) in enumerate(zip(BASELINE, MIXUP, strict=True)):
        add_run(tmp_path, "Baseline", seed, baseline)
        add_run(tmp_path, "MixUp", seed, mixup)
    add_run(tmp_path, "Scattering", 0, 0.25, model="scattering")
    add_run(tmp_path, "Scattering", 7, 0.10, model="scattering")  # nothing to pair it with
    return tmp_path


def rows_of(printed: str) -> list[list[str]]:
    table = printed[printed.index("the difference to Baseline") :]
    return [cells(line) for line in table.splitlines()]


def test_every_method_is_paired_with_one(runs: Path, capsys: Output) -> None:
    rows = rows_of(report(capsys, runs, "--against", "Baseline"))
    interval = scipy.stats.t.interval(0.95, 2, loc=16 / 3, scale=scipy.stats.sem([5, 7, 4]))
    assert ["Baseline", "32.00 ± 2.00"] in rows
    assert ["MixUp", "37.33 ± 3.21", "+5.33", f"[{interval[0]:+.2f}, {interval[1]:+.2f}]"] in rows


def test_a_method_of_another_model_is_paired_too(runs: Path, capsys: Output) -> None:
    rows = rows_of(report(capsys, runs, "--against", "Baseline"))
    assert ["Scattering, scattering", "17.50 ± 10.61 [2]", "-5.00 [1]", "–"] in rows  # 25 - 30, of one split


def test_the_best_stands_last_as_in_the_other_tables(runs: Path, capsys: Output) -> None:
    names = [row[0] for row in rows_of(report(capsys, runs, "--against", "Baseline")) if len(row) > 1]
    assert [name for name in names if name != "method"] == ["Scattering, scattering", "Baseline", "MixUp"]


def test_data_sets_and_parts_have_tables_and_plots_of_their_own(runs: Path, capsys: Output, tmp_path: Path) -> None:
    """What can't be compared is left out, and said."""
    held_out = {"validation": {"fold": 0, "folds": 5, "extra": None, "published": False, "seed": 0}}
    for name, accuracy in (("Baseline", 0.5), ("MixUp", 0.6)):
        add_run(runs, name, 0, accuracy, settings=held_out)
    add_run(runs, "Baseline", 0, 0.5, dataset="stl10")
    printed = report(capsys, runs, "--against", "Baseline", "--plots", str(tmp_path / "plots"))
    assert "cifair10: test accuracy in % by samples per class, and the difference" in printed
    assert "cifair10: validation accuracy in % by samples per class, and the difference" in printed
    assert "stl10: test accuracy in % by samples per class, and" not in printed
    assert sorted(path.name for path in (tmp_path / "plots").glob("*against*.png")) == [
        "cifair10-against-Baseline-accuracy.png",
        "cifair10-against-Baseline-validation-accuracy.png",
    ]


def test_what_was_held_out_otherwise_is_not_paired(runs: Path, capsys: Output) -> None:
    def held_out(**how: int) -> dict[str, Any]:
        return {"validation": {"fold": None, "folds": 5, "extra": None, "published": False, "seed": 0, **how}}

    add_run(runs, "Baseline", 0, 0.5, settings=held_out(extra=20))
    add_run(runs, "MixUp", 0, 0.6, settings=held_out(extra=20))
    add_run(runs, "CutMix", 0, 0.7, settings=held_out(fold=0))
    printed = report(capsys, runs, "--against", "Baseline", "--where", "part=validation")
    assert ["MixUp", "60.00", "+10.00", "–"] in rows_of(printed)
    assert ["CutMix", "70.00"] in rows_of(printed)
    assert "held out for CutMix at 5: a fold of 5" in printed


def test_other_numbers_of_steps_are_marked(runs: Path, capsys: Output) -> None:
    long = add_run(runs, "Long", 0, 0.5)
    record = json.loads((long / "result.json").read_text())
    (long / "result.json").write_text(json.dumps({**record, "steps": 99_999}))
    printed = report(capsys, runs, "--against", "Baseline")
    assert ["Long", "50.00 [1]", "+20.00 [1] †", "–"] in rows_of(printed)
    assert "†: other number of steps than Baseline: --effort" in " ".join(printed.split())


def test_several_seeds_of_one_split_make_the_interval_too_narrow(tmp_path: Path, capsys: Output) -> None:
    for seed in (0, 1):
        for name, accuracy in (("Baseline", 0.5), ("MixUp", 0.6 + 0.1 * seed)):
            add_run(tmp_path, name, seed, accuracy, settings={"split_seed": 0})
    assert "too narrow: seeds and folds of one split" in report(capsys, tmp_path, "--against", "Baseline")


def test_a_method_that_several_models_have_is_named_with_its_model(runs: Path, capsys: Output) -> None:
    add_run(runs, "Baseline", 0, 0.20, model="resnet18")
    assert main(["report", str(runs), "--against", "Baseline"]) == 2
    assert "write 'Baseline, resnet18'" in capsys.readouterr().err
    rows = rows_of(report(capsys, runs, "--against", "Baseline, wideresnet_16_8"))
    assert ["Baseline, resnet18", "20.00 [1]", "-10.00 [1]", "–"] in rows


def test_what_cannot_be_compared_is_told(runs: Path, capsys: Output) -> None:
    assert main(["report", str(runs), "--against", "Nothing"]) == 2
    assert "'Nothing' is not in the table; its methods are: Baseline; MixUp; Scattering" in capsys.readouterr().err
    assert main(["report", str(runs), "--against", "MixUp", "--where", "method=MixUp"]) == 2
    assert "no other method was trained on a split of 'MixUp'" in capsys.readouterr().err
    assert main(["report", str(runs), "--against", "MixUp", "--format", "csv"]) == 2
    assert "--against" in capsys.readouterr().err


def test_it_is_drawn(runs: Path, tmp_path: Path) -> None:
    (each,) = compare_all(summarise(read_store(runs)), "Baseline")
    (panel,) = figure_of(each, "accuracy").axes
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in panel.lines if line.get_marker() == "o"}
    assert [label.get_text() for label in panel.get_yticklabels()] == ["Scattering, scattering", "MixUp"]
    assert points == {0: pytest.approx(-5), 1: pytest.approx(16 / 3)}
    assert draw_against(each, tmp_path, "accuracy")[0].stat().st_size > 0
