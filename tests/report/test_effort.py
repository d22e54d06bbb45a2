"""What runs cost: `chimeramix report --effort`, and marks on comparisons of unequal steps."""

import json
from pathlib import Path
from typing import Any

from chimeramix.runs.spec import identity_of
from tests.report.store import add_run, write_record
from tests.report.test_ensembles import row
from tests.report.test_report import Output, cells, report


def change(folder: Path, **values: Any) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_steps_and_seconds_of_classifier_and_generator(tmp_path: Path, capsys: Output) -> None:
    for seed, seconds in enumerate((90.0, 110.0)):
        folder = add_run(tmp_path, "ChimeraMix+Grid", seed, generator_lr=2e-4)
        spec = json.loads((folder / "spec.json").read_text())
        change(folder, steps=1000, seconds=seconds, device="cpu", generator_identity=spec["generator"], flops=3e15)
        (generator,) = (tmp_path / "generator").glob(f"*{spec['generator']}")
        of_generator = json.loads((generator / "spec.json").read_text())
        assert identity_of(of_generator) == spec["generator"]
        more = {"steps": 500, "seconds": 2000.0 + seed, "device": "cuda (H200)", "flops": 1e15}
        write_record(generator, of_generator, role="generator", test=None, **more)
    change(add_run(tmp_path, "Baseline"), steps=1000, seconds=3.25, device="cpu", flops=2.5e12)
    printed = report(capsys, tmp_path, "--effort")
    assert row(printed, "ChimeraMix+Grid", 9)[1:] == [
        "5",
        "1,000",
        "100",
        "500",
        "2,000",
        "2,100",
        "4",
        "cpu; cuda (H200)",
    ]
    assert row(printed, "Baseline", 9)[1:] == ["5", "1,000", "3.2", "–", "–", "3.2", "0.0025", "cpu"]


def test_the_precision_stands_beside_the_device(tmp_path: Path, capsys: Output) -> None:
    change(add_run(tmp_path, precision="bf16"), device="cpu")
    assert row(report(capsys, tmp_path, "--effort"), "Baseline", 9)[8] == "cpu, bf16"


def test_what_chose_the_settings_is_part_of_the_effort(tmp_path: Path, capsys: Output) -> None:
    change(add_run(tmp_path, "MixUp"), tuned="study 0123456789ab: trial 3 of 20")
    add_run(tmp_path, "Baseline")
    printed = " ".join(report(capsys, tmp_path, "--effort").split())
    assert "settings of MixUp: study 0123456789ab: trial 3 of 20" in printed


def test_generators_that_are_gone(tmp_path: Path, capsys: Output) -> None:
    change(add_run(tmp_path), generator_identity="0123456789ab", flops=1e15)
    printed = report(capsys, tmp_path, "--effort")
    assert row(printed, "Baseline", 9)[4:8] == ["–", "–", "–", "–"]
    assert "the records of some generators are gone or damaged" in printed


def test_runs_that_counted_no_operations(tmp_path: Path, capsys: Output) -> None:
    """A mean of some runs would be that of others."""
    change(add_run(tmp_path, seed=0), flops=1e15)
    change(add_run(tmp_path, seed=1), flops=None)
    assert row(report(capsys, tmp_path, "--effort"), "Baseline", 9)[7] == "–"


def test_cells_with_another_number_of_steps_are_marked(tmp_path: Path, capsys: Output) -> None:
    for name, accuracy, steps in (("A", 0.3, 1000), ("B", 0.4, 1000), ("C", 0.5, 4000)):
        change(add_run(tmp_path, name, accuracy=accuracy), steps=steps)
        add_run(tmp_path, name, accuracy=accuracy, samples_per_class=10)
    lines = [cells(line) for line in report(capsys, tmp_path).splitlines()]
    assert ["A", "30.00", "30.00"] in lines
    assert ["C", "50.00 †", "50.00"] in lines


def test_without_a_majority_all_are_marked(tmp_path: Path, capsys: Output) -> None:
    for name, steps in (("A", 1000), ("B", 4000)):
        change(add_run(tmp_path, name), steps=steps)
    printed = report(capsys, tmp_path)
    assert printed.count("50.00 †") == 2
    assert "†: other number of steps than most of this column: --effort" in printed


def test_equal_steps_leave_the_table_as_it_was(tmp_path: Path, capsys: Output) -> None:
    for name in ("A", "B"):
        add_run(tmp_path, name)
    printed = report(capsys, tmp_path, "--compare", "A", "B")
    assert "†" not in printed
    assert "steps" not in printed


def test_a_comparison_of_unequal_steps_says_so(tmp_path: Path, capsys: Output) -> None:
    for name, steps in (("A", 1000), ("B", 4000)):
        change(add_run(tmp_path, name), steps=steps)
        add_run(tmp_path, name, samples_per_class=10)
    printed = report(capsys, tmp_path, "--compare", "A", "B")
    assert "bold: it excludes 0; they differ in steps at 5, 1,000 and 4,000: --effort" in printed


def test_the_mark_in_latex(tmp_path: Path, capsys: Output) -> None:
    for name, steps in (("A", 1000), ("B", 4000)):
        change(add_run(tmp_path, name), steps=steps)
    assert r"50.00 $\dagger$" in report(capsys, tmp_path, "--format", "latex")
