"""The median accuracy of the last epochs, a second figure beside the result."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from chimeramix.cli import main
from chimeramix.errors import UserError
from chimeramix.report.store import read_store
from chimeramix.runs.spec import classifier_spec, identity_of
from chimeramix.training.classifier import ClassifierTraining
from tests.composing import composed
from tests.report.store import add_run
from tests.runs.interrupt import Killed, kill_at_call
from tests.runs.tiny import assert_same_run, figures, run

EPOCHS = ("epochs=5", "evaluation.median_of=3", "monitor.evaluate_every=0")


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = figures(folder)
    return found["result"], found["records"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("classifier", tmp_path_factory.mktemp("whole"), *EPOCHS, experiment="baseline")


def test_the_last_epochs_are_evaluated_and_the_last_one_stays_the_result(whole: Path) -> None:
    result, records = read(whole)
    evaluated = {record["epoch"]: record["test"] for record in records if "test" in record}
    assert list(evaluated) == [3, 4, 5]
    accuracies = [each["accuracy"] for each in evaluated.values()]
    assert len(set(accuracies)) > 1
    assert result["test"]["accuracy"] == accuracies[-1]
    assert result["test"]["accuracy_median"] == statistics.median(accuracies)
    assert "accuracy_median" not in evaluated[4]


def test_it_does_not_depend_on_what_is_monitored_nor_changes_the_training(whole: Path, tmp_path: Path) -> None:
    result, _ = read(whole)
    again, _ = read(run("classifier", tmp_path / "b", *EPOCHS[:2], "monitor.evaluate_every=1", experiment="baseline"))
    without = run("classifier", tmp_path / "c", EPOCHS[0], experiment="baseline")
    plain, _ = read(without)
    assert again["test"] == result["test"]
    del result["test"]["accuracy_median"]
    assert plain["test"] == result["test"]
    (expected,), (found,) = (map(load_file, each.glob("*.safetensors")) for each in (whole, without))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert plain["identity"] != result["identity"]


@pytest.mark.parametrize("step", [17, 21, 24])  # in epochs 4 and 5 of 5 steps each
def test_an_interrupted_run_has_the_same_median(
    step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_call(patch, ClassifierTraining, "step", step)
        with pytest.raises(Killed):
            run("classifier", tmp_path / "cut", *EPOCHS, "monitor.checkpoint_seconds=0", experiment="baseline")
    assert_same_run(run("classifier", tmp_path / "cut", *EPOCHS, experiment="baseline"), whole)


def test_of_fewer_epochs_all_count(tmp_path: Path) -> None:
    result, records = read(run("classifier", tmp_path, "evaluation.median_of=10", experiment="baseline"))
    assert result["test"]["accuracy_median"] == statistics.fmean(record["test"]["accuracy"] for record in records)


def test_the_identity_holds_it_where_it_is_set() -> None:
    def identity(*words: str) -> str:
        config = composed("classifier", ["+dataset=cifair10", "+experiment=baseline", *words]).config
        return identity_of(classifier_spec(config, {}, None))

    assert identity("evaluation.median_of=null") == identity()
    assert identity("evaluation.median_of=10") == identity("recipe.median_of=10") != identity()


def test_views_keep_the_identity_that_they_had() -> None:
    """Of a version in which `evaluation` had no other key."""
    words = ["+dataset=cifair10", "+experiment=baseline", "evaluation.views=flip"]
    spec = classifier_spec(composed("classifier", words).config, {}, None)
    assert spec["evaluation"] == {"views": "flip"}


def test_the_report_prints_it_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, median in enumerate((0.61, 0.65)):
        folder = add_run(tmp_path, seed=seed, accuracy=0.5)
        result = json.loads((folder / "result.json").read_text())
        result["test"]["accuracy_median"] = median
        (folder / "result.json").write_text(json.dumps(result))
    assert main(["report", str(tmp_path), "--metric", "accuracy_median"]) == 0
    printed = capsys.readouterr().out
    assert "63.00" in printed
    assert "last epochs, mean" in printed
    assert main(["report", str(tmp_path)]) == 0
    assert "50.00" in capsys.readouterr().out


def test_runs_without_it_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = add_run(tmp_path)
    with pytest.raises(UserError, match=r"1 finished run without accuracy_median, .*evaluation\.median_of=10"):
        read_store(tmp_path, "accuracy_median")
    result = json.loads((folder / "result.json").read_text())
    result["test"]["accuracy_median"] = 0.5
    (folder / "result.json").write_text(json.dumps(result))
    add_run(tmp_path, seed=1)
    assert len(read_store(tmp_path, "accuracy_median").runs) == 1
    assert "left out: 1 finished run without accuracy_median" in caplog.text
