"""Averaged weights and views against the plain ones, as the report has them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from chimeramix.cli import main
from chimeramix.errors import UserError
from chimeramix.report.results import summarise
from chimeramix.report.store import read_store
from chimeramix.report.variants import variants_tables
from tests.report.store import add_run

PLAIN, EMA = [0.50, 0.52, 0.47, 0.60], [0.53, 0.54, 0.50, 0.61]


def figures(accuracy: float) -> dict[str, float]:
    return {"accuracy": accuracy, "top5": 0.9, "macro_accuracy": accuracy}


def add(runs: Path, seed: int, variants: Any, **settings: Any) -> None:
    folder = add_run(runs, seed=seed, accuracy=EMA[seed], settings={"average": {"decay": 0.9}, **settings})
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "variants": variants}))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, (plain, ema) in enumerate(zip(PLAIN, EMA, strict=True)):
        add(tmp_path, seed, {"plain": figures(plain), "ema": figures(ema)})
        add_run(tmp_path, "MixUp", seed)
    return tmp_path


def test_the_difference_is_paired(runs: Path) -> None:
    """Means by NumPy and the interval by SciPy's paired test."""
    (table,) = variants_tables(summarise(read_store(runs)), "accuracy")
    plain, ema = ([cell.text for cell in row] for row in table.rows)
    assert plain[4:] == ["plain", "4", f"{100 * np.mean(PLAIN):.2f} ± {100 * np.std(PLAIN, ddof=1):.2f}", "–", "–"]
    interval = ttest_rel(100 * np.array(EMA), 100 * np.array(PLAIN)).confidence_interval(0.95)
    assert (plain[2], ema[2]) == ("Baseline", "Baseline"), "the variant has a column of its own"
    assert ema[4:6] == ["ema", "4"]
    assert ema[7:] == ["+2.25", f"[{interval.low:+.2f}, {interval.high:+.2f}]"]
    assert table.rows[1][7].bold == (interval.low > 0)


def test_seeds_of_one_split_are_no_independent_pairs(tmp_path: Path) -> None:
    for part, split in (("drawn", {}), ("one", {"split_seed": 0})):
        for seed, (plain, ema) in enumerate(zip(PLAIN, EMA, strict=True)):
            add(tmp_path / part, seed, {"plain": figures(plain), "ema": figures(ema)}, **split)
    drawn, one = (variants_tables(summarise(read_store(tmp_path / part)), "accuracy")[0] for part in ("drawn", "one"))
    assert "too narrow: seeds and folds of one split share their images" in one.caption
    assert "too narrow" not in drawn.caption


def test_the_command_prints_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs), "--variants", "--format", "markdown"]) == 0
    assert "| ema | 4 | 54.50 ± " in capsys.readouterr().out


def test_runs_with_one_variant_only(tmp_path: Path) -> None:
    add_run(tmp_path)
    with pytest.raises(UserError, match="--variants: no run measured several; average=ema"):
        variants_tables(summarise(read_store(tmp_path)), "accuracy")


@pytest.mark.parametrize("variants", [[], {"ema": figures(0.5)}, {"plain": 3}, {"plain": {"accuracy": "high"}}])
def test_damaged_variants_are_named(runs: Path, variants: Any) -> None:
    (folder,) = (path for path in (runs / "classifier").glob("*Baseline-s0-*"))
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "variants": variants}))
    (line,) = read_store(runs).damaged
    assert "variants" in line
