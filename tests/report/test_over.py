"""`chimeramix report --over KEY`: the metric over the values of a key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimeramix.cli import main
from tests.report.store import add_run
from tests.report.test_ensembles import row
from tests.report.test_report import Output, report


def add_grid(runs: Path, mix_size: int, seed: int = 0, accuracy: float = 0.5, **more: Any) -> Path:
    """As runs are: the mixer's mask counts for the identity, the group `mask` stands in the configuration alone."""
    mask = {"mix_size": mix_size}
    mixer = {"_target_": "chimeramix.mixing.DirectMix", "mask": mask}
    folder = add_run(runs, "GridMix (pixels)", seed, accuracy, settings={"mixer": mixer}, **more)
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "mask": mask}))
    return folder


def below(printed: str, key: str) -> str:
    """The table over the key."""
    return printed[printed.index(f"% over {key}") :]


def test_a_row_holds_the_values_in_their_order(tmp_path: Path, capsys: Output) -> None:
    for mix_size, accuracies in {16: (0.3, 0.4), 2: (0.5, 0.7), 4: (0.41,)}.items():
        for seed, accuracy in enumerate(accuracies):
            add_grid(tmp_path, mix_size, seed, accuracy)
    for seed, accuracy in enumerate((0.2, 0.3)):
        add_run(tmp_path, "Baseline", seed, accuracy)
    table = below(report(capsys, tmp_path, "--over", "mixer.mask.mix_size"), "mixer.mask.mix_size")
    assert row(table, "method", 6)[2:] == ["2", "4", "16", "without it"]
    grid = row(table, "GridMix (pixels)", 6)
    assert grid[1:] == ["5", "60.00 ± 14.14", "41.00 [1]", "35.00 ± 7.07", "–"]
    assert row(table, "Baseline", 6)[1:] == ["5", "–", "–", "–", "25.00 ± 7.07"]


def test_the_key_of_a_group_that_others_read(tmp_path: Path, capsys: Output) -> None:
    """`mask` is no part of an identity by itself: the mixer and the generator hold it."""
    add_grid(tmp_path, 2)
    add_grid(tmp_path, 4)
    table = below(report(capsys, tmp_path, "--over", "mask.mix_size"), "mask.mix_size")
    assert row(table, "GridMix (pixels)", 4)[2:] == ["50.00", "50.00"]


def test_other_settings_make_curves_of_their_own(tmp_path: Path, capsys: Output) -> None:
    for lr in (0.1, 0.2):
        for mix_size in (2, 4):
            add_grid(tmp_path, mix_size, accuracy=lr * mix_size, lr=lr)
    table = below(report(capsys, tmp_path, "--over", "mask.mix_size"), "mask.mix_size")
    assert row(table, "GridMix (pixels) (optimizer.lr=0.1)", 4)[2:] == ["20.00", "40.00"]
    assert row(table, "GridMix (pixels) (optimizer.lr=0.2)", 4)[2:] == ["40.00", "80.00"]
    assert "changes along" not in table


def test_a_key_that_follows_is_named(tmp_path: Path, capsys: Output) -> None:
    for mix_size, lr in ((2, 0.1), (4, 0.2)):
        add_grid(tmp_path, mix_size, lr=lr)
    table = below(report(capsys, tmp_path, "--over", "mask.mix_size"), "mask.mix_size")
    assert "optimizer.lr changes along with mask.mix_size" in table
    assert "mixer.mask.mix_size changes" not in table


def test_models_of_several_widths(tmp_path: Path, capsys: Output) -> None:
    for width in (2, 8):
        model = f"wideresnet_16_8 (width={width})"
        add_run(tmp_path, accuracy=width / 10, model=model, settings={"model": {"width": width}})
    table = below(report(capsys, tmp_path, "--over", "model.width"), "model.width")
    assert row(table, "Baseline", 4)[2:] == ["20.00", "80.00"]


def test_what_differs_between_with_and_without_the_key_does_not_change_along(tmp_path: Path, capsys: Output) -> None:
    for levels in (None, 3, [None, 3, 2]):
        model = {"_target_": "chimeramix.models.HarmonicWideResNet", "depth": 16, "levels": levels}
        add_run(tmp_path, accuracy=0.6, model=f"harmonic_wideresnet_16_8 (levels={levels})", settings={"model": model})
    add_run(tmp_path, settings={"model": {"_target_": "chimeramix.models.WideResNet", "depth": 16}})
    table = below(report(capsys, tmp_path, "--over", "model.levels"), "model.levels")
    assert row(table, "method", 6)[2:] == ["3", "[null,3,2]", "null", "without it"]
    assert row(table, "Baseline", 6)[2:] == ["60.00", "60.00", "60.00", "50.00"]
    assert "changes along" not in table


def test_whole_numbers_are_one_value_however_typed(tmp_path: Path, capsys: Output) -> None:
    for method, probabilities in {"MixUp": (0.5, 1.0), "CutMix": (0.5, 1)}.items():
        for probability in probabilities:
            add_run(tmp_path, method, settings={"mixer": {"_target_": method, "probability": probability}})
    table = below(report(capsys, tmp_path, "--over", "mixer.probability"), "mixer.probability")
    assert row(table, "method", 4)[2:] == ["0.5", "1"]
    assert row(table, "MixUp", 4)[2:] == row(table, "CutMix", 4)[2:] == ["50.00", "50.00"]


def test_an_infinite_value_has_a_place_in_plots(tmp_path: Path, capsys: Output) -> None:
    for lr in (0.1, 0.2, float("inf")):
        add_run(tmp_path, lr=lr)
    report(capsys, tmp_path, "--over", "optimizer.lr", "--plots", str(tmp_path / "plots"))
    assert (tmp_path / "plots" / "cifair10-wideresnet_16_8-over-optimizer.lr-accuracy.svg").is_file()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("mask.mixsize", "--over mask.mixsize: unknown key mask.mixsize; did you mean mask.mix_size?"),
        ("optimizer.lr", "--over optimizer.lr: all runs have the value 0.1; there is nothing to compare"),
        ("seed", "--over seed: means are taken over it, or columns made of it; choose a key of the method"),
    ],
)
def test_keys_that_make_no_curve(tmp_path: Path, capsys: Output, key: str, expected: str) -> None:
    add_grid(tmp_path, 2)
    add_grid(tmp_path, 4)
    assert main(["report", str(tmp_path), "--over", key]) == 2
    assert expected in capsys.readouterr().err


def test_runs_of_one_method_that_differ_in_the_key(tmp_path: Path, capsys: Output) -> None:
    for seed, threads in enumerate((1, 2)):
        file = add_run(tmp_path, seed=seed) / "config.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "machine": {"threads": threads}}))
    assert main(["report", str(tmp_path), "--over", "machine.threads"]) == 2
    assert "the key is not part of what a run is" in capsys.readouterr().err


def test_csv_has_no_such_table(tmp_path: Path, capsys: Output) -> None:
    add_grid(tmp_path, 2)
    assert main(["report", str(tmp_path), "--over", "mask.mix_size", "--format", "csv"]) == 2
    assert "no table of --over" in capsys.readouterr().err


def test_plots_have_numbers_where_they_belong(tmp_path: Path, capsys: Output) -> None:
    for mix_size in (2, 4, 16):
        add_grid(tmp_path, mix_size)
    add_run(tmp_path, "Baseline")
    report(capsys, tmp_path, "--over", "mask.mix_size", "--plots", str(tmp_path / "plots"))
    drawn = (tmp_path / "plots" / "cifair10-wideresnet_16_8-over-mask.mix_size-accuracy.svg").read_text()
    assert "mask.mix_size" in drawn
    assert "Baseline" in drawn
    # The distance from 4 to 16 is six times that from 2 to 4.
    ticks = [float(x) for x in re.findall(r'id="xtick_\d+">.*?x="([\d.]+)"', drawn.replace("\n", " "))]
    assert (ticks[2] - ticks[1]) / (ticks[1] - ticks[0]) == pytest.approx(6, rel=1e-3)
