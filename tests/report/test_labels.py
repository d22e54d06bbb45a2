"""Names by which a person can tell data sets and variants apart, and the legends of those that are abbreviated."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimeramix.cli import main
from chimeramix.report.results import summarise
from chimeramix.report.store import read_store
from tests.report.store import add_run

Output = pytest.CaptureFixture[str]
CONF = Path(__file__).resolve().parents[2] / "conf"


def report(output: Output, runs: Path, *options: str) -> str:
    assert main(["report", str(runs), *options]) == 0
    return output.readouterr().out


def methods(runs: Path) -> list[str]:
    return sorted({result.method for result in summarise(read_store(runs))})


def facts(fingerprint: str, num_train: int = 40) -> dict[str, Any]:
    return {"classes": ["oak", "elm"], "num_train": num_train, "num_test": 10, "fingerprint": fingerprint}


def sgd(lr: float, **more: Any) -> dict[str, Any]:
    return {"optimizer": {"_target_": "torch.optim.SGD", "lr": lr, **more}}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two variants that differ in five settings."""
    common = {"mixer": {"_target_": "chimeramix.mixing.Mix", "alpha": 1.0}, "erase": None}
    for seed in (0, 1):
        add_run(tmp_path, seed=seed, settings={**common, **sgd(0.1, nesterov=True), "epochs": 200, "batch_size": 10})
    other = {**common, **sgd(0.02, nesterov=False), "epochs": 20, "batch_size": 32, "erase": {"size": 8}}
    add_run(tmp_path, settings=other, accuracy=0.6)
    return tmp_path


def test_many_differing_settings_are_a_letter_with_a_legend(many: Path, capsys: Output) -> None:
    assert methods(many) == ["Baseline A", "Baseline B"]
    lines = [line.strip() for line in report(capsys, many).splitlines()]
    legends = [line for line in lines if line.startswith("Baseline ") and ": " in line]
    assert legends == [
        "Baseline A: batch_size=10, epochs=200, erase=null, optimizer.lr=0.1, optimizer.nesterov=true",
        "Baseline B: batch_size=32, epochs=20, erase.size=8, optimizer.lr=0.02, optimizer.nesterov=false",
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("markdown", "\n- Baseline A: batch_size=10, epochs=200, "),
        ("latex", r"\par\footnotesize Baseline A: batch\_size=10, epochs=200, "),
    ],
)
def test_the_legend_is_part_of_every_format(many: Path, capsys: Output, form: str, expected: str) -> None:
    assert expected in report(capsys, many, "--format", form)


def test_a_csv_has_the_settings_of_each_variant(many: Path, capsys: Output) -> None:
    rows = list(csv.DictReader(io.StringIO(report(capsys, many, "--format", "csv"))))
    assert {row["method"]: row["settings"].split(", ")[0] for row in rows} == {
        "Baseline A": "batch_size=10",
        "Baseline B": "batch_size=32",
    }


def test_the_legend_is_below_the_plots(many: Path, tmp_path: Path, capsys: Output) -> None:
    report(capsys, many, "--plots", str(tmp_path / "plots"))
    drawn = (tmp_path / "plots" / "cifair10-wideresnet_16_8-accuracy.svg").read_text()
    assert "Baseline B: batch_size=32" in drawn


def test_abbreviated_variants_can_be_compared(many: Path, capsys: Output) -> None:
    assert "Baseline A − Baseline B" in report(capsys, many, "--compare", "Baseline A", "Baseline B")


def test_values_are_never_cut(tmp_path: Path, capsys: Output) -> None:
    """Two that begin alike are told apart by their ends, in the legend."""
    for end in ("here", "there"):
        add_run(tmp_path, settings={"weights": f"a/very/long/path/that/goes/on/{end}"})
    assert methods(tmp_path) == ["Baseline A", "Baseline B"]
    assert "Baseline B: weights=a/very/long/path/that/goes/on/there" in report(capsys, tmp_path)


def test_a_class_says_enough_unless_it_has_variants(tmp_path: Path) -> None:
    adam: dict[str, Any] = {"_target_": "torch.optim.Adam", "lr": 0.001, "betas": [0.9, 0.99]}
    add_run(tmp_path, settings=sgd(0.1))
    add_run(tmp_path, settings={"optimizer": adam})
    assert methods(tmp_path) == ["Baseline (optimizer=Adam)", "Baseline (optimizer=SGD)"]
    add_run(tmp_path, settings={"optimizer": {**adam, "lr": 0.01}})
    assert methods(tmp_path) == [
        "Baseline (optimizer=Adam, optimizer.betas=[0.9,0.99], optimizer.lr=0.001)",
        "Baseline (optimizer=Adam, optimizer.betas=[0.9,0.99], optimizer.lr=0.01)",
        "Baseline (optimizer=SGD, optimizer.lr=0.1)",
    ]


def test_a_part_that_is_missing_is_null(tmp_path: Path) -> None:
    add_run(tmp_path, settings={"procedure": None})
    add_run(tmp_path, settings={"procedure": {"_target_": "chimeramix.training.MixMatch", "steps": 3}})
    assert methods(tmp_path) == ["Baseline (procedure=MixMatch)", "Baseline (procedure=null)"]


def test_a_letter_is_no_other_methods_name(many: Path) -> None:
    add_run(many, "Baseline A", 5)
    assert methods(many) == ["Baseline A", "Baseline B", "Baseline C"]


def test_own_images_are_named_by_their_folder(tmp_path: Path, capsys: Output) -> None:
    for name, accuracy in (("flowers", 0.8), ("trees", 0.6)):
        add_run(tmp_path, dataset="image_folder", root=f"/data/{name}", facts=facts(name), accuracy=accuracy)
    printed = report(capsys, tmp_path)
    assert "flowers, wideresnet_16_8: test accuracy" in printed
    assert "trees, wideresnet_16_8: test accuracy" in printed
    for word in ("facts", "fingerprint", "image_folder", "("):
        assert word not in printed
    assert methods(tmp_path) == ["Baseline"]


def test_a_folders_name_is_plain_text_in_plots(tmp_path: Path, capsys: Output) -> None:
    for lr in (0.1, 0.2):
        add_run(tmp_path, dataset="image_folder", root="/data/$x^$ \\frac", facts=facts("1"), method="$a_", lr=lr)
    report(capsys, tmp_path, "--plots", str(tmp_path / "plots"))
    (plot,) = (tmp_path / "plots").glob("*accuracy.svg")
    assert "$x^$ \\frac, wideresnet" in plot.read_text()
    assert "$a_ (optimizer.lr=0.1)" in plot.read_text()


def test_a_name_of_the_users_own_stays(tmp_path: Path, capsys: Output) -> None:
    add_run(tmp_path, dataset="mine", root="/data/flowers", facts=facts("1"))
    assert "mine, wideresnet_16_8" in report(capsys, tmp_path)


def test_the_default_name_is_that_of_the_configuration() -> None:
    shipped = yaml.safe_load((CONF / "dataset" / "own" / "image_folder.yaml").read_text())
    assert shipped["dataset"]["name"] == "image_folder"


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    for place in ("berlin", "paris"):
        add_run(tmp_path, dataset="image_folder", root=f"/data/{place}/trees/", facts=facts(place))
    found = {result.dataset for result in summarise(read_store(tmp_path))}
    assert found == {"berlin/trees", "paris/trees"}


def test_a_data_set_of_ones_own_that_has_other_facts(tmp_path: Path, capsys: Output) -> None:
    for version in (1, 2):
        add_run(tmp_path, dataset="mine", facts={"version": version})
    printed = report(capsys, tmp_path)
    assert len(re.findall(r"^  mine [AB]: content [0-9a-f]{8}$", printed, re.MULTILINE)) == 2


def test_a_folder_whose_images_changed_is_two_data_sets(tmp_path: Path, capsys: Output) -> None:
    """Never averaged, and the legend says what is known of each."""
    add_run(tmp_path, dataset="image_folder", root="/data/trees", facts=facts("1"))
    add_run(tmp_path, dataset="image_folder", root="/data/trees", facts=facts("2", num_train=44))
    printed = report(capsys, tmp_path)
    common = "dataset.root=/data/trees"
    assert f"trees A: {common}, 40 training images, 10 test images, 2 classes" in printed
    assert f"trees B: {common}, 44 training images, 10 test images, 2 classes" in printed
    add_run(tmp_path, dataset="image_folder", root="/data/trees", facts=facts("3"))
    found = [result.data_set.settings for result in summarise(read_store(tmp_path))]
    assert len(set(found)) == 3
