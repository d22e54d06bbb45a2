"""`chimeramix report --where KEY=VALUE`, and the CSV with a line per run."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from chimeramix.cli import main
from chimeramix.errors import UserError
from chimeramix.report.store import read_store
from chimeramix.report.where import choose
from tests.report.store import add_run

Output = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four runs whose seeds are their names in these tests."""
    mixup = {"mixer": {"_target_": "chimeramix.mixing.MixUp", "alpha": 1.0}, "augment": {"flip": True}}
    own: dict[str, Any] = {"root": "/data/my trees", "precision": "bf16"}
    add_run(tmp_path, "Baseline", 0, 0.1, lr=0.1, settings={"erase": None, "augment": {"flip": False}})
    add_run(tmp_path, "MixUp", 1, 0.2, lr=0.1, settings=mixup, samples_per_class=10)
    add_run(tmp_path, "ChimeraMix+Grid", 2, 0.3, lr=0.01, generator_lr=2e-4, samples_per_class=None)
    own |= {"dataset": "image_folder", "facts": {"fingerprint": "f0"}, "augment": "autoaugment"}
    add_run(tmp_path, "Baseline", 3, 0.4, lr=0.01, model="wideresnet_16_8 (width=2)", **own)
    return tmp_path


def table(output: Output, runs: Path, *options: str) -> list[dict[str, str]]:
    assert main(["report", str(runs), "--format", "runs-csv", *options]) == 0
    return list(csv.DictReader(io.StringIO(output.readouterr().out)))


@pytest.mark.parametrize(
    ("conditions", "seeds"),
    [
        (["optimizer.lr=0.10"], "01"),
        (["optimizer.lr=1e-1"], "01"),
        (["method=Baseline"], "03"),
        (["method=ChimeraMix+Grid"], "2"),
        (["method=Baseline,MixUp"], "013"),
        (["model=wideresnet_16_8 (width=2)"], "3"),
        (["seed=range(1,3)"], "12"),
        (["max_labels_per_class=null"], "2"),
        (["max_labels_per_class=5,10"], "013"),
        (["augment.flip=true"], "1"),
        (["augment.flip=False"], "0"),
        (["erase=null"], "0123"),  # also where a version before the key wrote none
        (["mixer.alpha=1"], "1"),
        (["generator.optimizer.lr=0.0002"], "2"),
        (["machine.precision=bf16"], "3"),
        (["dataset.root=/data/my trees"], "3"),
        (["dataset=image_folder"], "3"),
        (["dataset=my trees"], "3"),  # as the table has it
        (["dataset.name=cifair10"], "012"),
        (["method=Baseline + AutoAugment"], "3"),
        (["test.accuracy=0.2"], "1"),
        (["optimizer.lr=0.1", "method=MixUp"], "1"),
    ],
)
def test_runs_are_chosen_by_any_key(runs: Path, capsys: Output, conditions: list[str], seeds: str) -> None:
    words = [word for condition in conditions for word in ("--where", condition)]
    assert "".join(sorted(row["seed"] for row in table(capsys, runs, *words))) == seeds


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("optimiser.lr=0.1", "unknown key optimiser.lr; did you mean optimizer.lr?"),
        ("mixer.alhpa=1", "unknown key mixer.alhpa; did you mean mixer.alpha?"),
        ("optimizer.lr=0.2", "no run has this value; there are 0.01, 0.1"),
        ("seed='1'", "no run has this value; there are 0, 1, 2, 3"),
        ("augment.flip=1", "no run has this value; there are false, true"),
        ("mixer=mixup", "mixer is a group of keys; choose by one of them: mixer._target_, mixer.alpha"),
        ("method", "method: not of the form KEY=VALUE"),
    ],
)
def test_a_condition_that_no_run_meets_is_refused(runs: Path, capsys: Output, condition: str, expected: str) -> None:
    assert main(["report", str(runs), "--where", condition]) == 2
    assert expected in capsys.readouterr().err


def test_conditions_that_exclude_each_other(runs: Path, capsys: Output) -> None:
    assert main(["report", str(runs), "--where", "method=Baseline", "--where", "mixer.alpha=1"]) == 2
    assert "none of the runs that are left has the key mixer.alpha" in capsys.readouterr().err


def test_variants_are_named_among_the_chosen_runs_only(tmp_path: Path, capsys: Output) -> None:
    for lr in (0.1, 0.01):
        add_run(tmp_path, lr=lr)
    assert main(["report", str(tmp_path), "--where", "optimizer.lr=0.1"]) == 0
    printed = capsys.readouterr().out
    assert "Baseline" in printed
    assert "optimizer.lr" not in printed


def test_a_line_per_run_with_all_that_tells_runs_apart(tmp_path: Path, capsys: Output) -> None:
    alike: dict[str, Any] = {"batch_size": 10}
    folders = [add_run(tmp_path, seed=seed, accuracy=0.25, settings=alike) for seed in (0, 1)]
    folders.append(add_run(tmp_path, seed=1, lr=0.02, settings=alike, accuracy=0.5))
    rows = table(capsys, tmp_path)
    order = [str(folder) for folder in sorted(folders)]
    assert [row["folder"] for row in rows] == order
    rows = [rows[order.index(str(folder))] for folder in folders]
    for row, folder in zip(rows, folders, strict=True):
        assert folder.name.endswith(row["identity"])
        recorded = json.loads((folder / "result.json").read_text())
        assert int(row["seed"]) == recorded["seed"]
        assert int(row["split_seed"]) == recorded["split_seed"]
        for metric, value in recorded["test"].items():
            assert float(row[metric]) == pytest.approx(100 * value)
    assert [row["optimizer.lr"] for row in rows] == ["0.1", "0.1", "0.02"]
    assert [row["method"] for row in rows] == ["Baseline (optimizer.lr=0.1)"] * 2 + ["Baseline (optimizer.lr=0.02)"]
    assert "batch_size" not in rows[0]


def test_by_fold_and_part(tmp_path: Path) -> None:
    """What a run was evaluated on is no part of its result's settings, and still a condition."""
    for fold, accuracy in enumerate([0.2, 0.4]):
        validation = {"fold": fold, "folds": 5, "seed": 0, "extra": None, "published": False}
        add_run(tmp_path, "Baseline", 0, accuracy, settings={"validation": validation})
    add_run(tmp_path, "Baseline", 0, 0.6)
    store = read_store(tmp_path)
    assert [run.score for run in choose(store, ["validation.fold=1"]).runs] == [40]
    assert [run.score for run in choose(store, ["part=test"]).runs] == [60]
    assert [run.score for run in choose(store, ["validation.fold=null"]).runs] == [60]
    with pytest.raises(UserError, match="there are 0, 1, null"):
        choose(store, ["validation.fold=2"])


def test_keys_that_are_younger_than_a_run(tmp_path: Path) -> None:
    """It was trained with what is the default since."""
    add_run(tmp_path, "Baseline", 0, 0.2)
    add_run(tmp_path, "Baseline", 1, 0.3, settings={"evaluation": {"views": "flip"}})
    store = read_store(tmp_path)
    assert [run.score for run in choose(store, ["evaluation.views=plain"]).runs] == [20]
    assert [run.score for run in choose(store, ["sharpness=null", "evaluation.views=flip"]).runs] == [30]
