"""`chimeramix report --against METHOD`: all methods' differences to one, over the same splits."""

from pathlib import Path

import pytest
import scipy.stats

from chimeramix.cli import main
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


def test_a_method_that_several_models_have_is_named_with_its_model(runs: Path, capsys: Output) -> None:
    add_run(runs, "Baseline", 0, 0.20, model="resnet18")
    assert main(["report", str(runs), "--against", "Baseline"]) == 2
    assert "write 'Baseline, resnet18'" in capsys.readouterr().err
    rows = rows_of(report(capsys, runs, "--against", "Baseline, wideresnet_16_8"))
    assert ["Baseline, resnet18", "20.00 [1]", "-10.00", "–"] in rows


def test_what_cannot_be_compared_is_told(runs: Path, capsys: Output) -> None:
    assert main(["report", str(runs), "--against", "Nothing"]) == 2
    assert "'Nothing' is not in the table; its methods are: Baseline; MixUp; Scattering" in capsys.readouterr().err
    assert main(["report", str(runs), "--against", "MixUp", "--where", "method=MixUp"]) == 2
    assert "no other method was trained on a split of 'MixUp'" in capsys.readouterr().err
    assert main(["report", str(runs), "--against", "MixUp", "--format", "csv"]) == 2
    assert "--against" in capsys.readouterr().err


def test_it_is_drawn(runs: Path, capsys: Output, tmp_path: Path) -> None:
    report(capsys, runs, "--against", "Baseline", "--plots", str(tmp_path / "plots"))
    assert (tmp_path / "plots" / "cifair10-against-Baseline-accuracy.png").stat().st_size > 0
    assert "MixUp" in (tmp_path / "plots" / "cifair10-against-Baseline-accuracy.svg").read_text(encoding="utf-8")
