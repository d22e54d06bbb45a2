"""Runs that hold out images: nothing of the test set is read, nothing of the held-out part is learnt."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chimeramix.data.digits import Digits
from chimeramix.errors import UserError
from chimeramix.runs.record import read_record
from chimeramix.runs.train import train
from tests.composing import composed
from tests.runs.tiny import CLASSIFIER, folder_of, overrides, run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five training images of two classes, and no folder `test`."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "train" / name / f"{number}.png")
    return tmp_path / "photos"


def words(photos: Path, runs: Path, *more: str) -> list[str]:
    own = [f"dataset.root={photos}", "dataset.image_size=12", f"machine.runs_dir={runs}", "machine.workers=1"]
    data_dir = f"machine.data_dir={runs.parent / 'data'}"
    small = [word for word in CLASSIFIER if not word.startswith("batch_size")]
    return ["+dataset=own/image_folder", "max_labels_per_class=5", *own, data_dir, *small, *more]


def test_the_test_folder_may_be_missing(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test"):
        train(composed("classifier", words(photos, tmp_path / "runs")))

    train(composed("classifier", words(photos, tmp_path / "runs", "validation.fold=2")))

    result = json.loads((folder_of("classifier", tmp_path / "runs") / "result.json").read_text())
    assert result["held_out"] == "fold 2 of 5 of the drawn subset"
    assert result["test"] is None
    assert (result["num_train"], result["num_validation"], result["num_test"]) == (8, 2, None)
    assert result["validation"]["accuracy"] in (0, 0.5, 1)


def test_no_stage_reads_the_test_set_or_learns_the_held_out_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generator, superpixels and classifier, each with the labels and images that it is given."""

    def no_test(self: Digits) -> Any:
        raise AssertionError("the test set was read")

    monkeypatch.setattr(Digits, "test", no_test)
    more = ("max_labels_per_class=4", "validation.fold=1", "validation.folds=2")
    run("generator", tmp_path, *more)
    run("classifier", tmp_path, *more)

    splits = [
        json.loads((folder_of(role, tmp_path) / "split.json").read_text()) for role in ("generator", "classifier")
    ]
    assert splits[0] == splits[1]
    assert len(splits[0]["indices"]) == len(splits[0]["held_out"]) == 20
    assert not set(splits[0]["indices"]) & set(splits[0]["held_out"])
    record = read_record(folder_of("classifier", tmp_path))
    assert record is not None
    assert record.result["num_validation"] == 20
    assert record.result["generator_identity"] in folder_of("generator", tmp_path).name


def test_another_fold_is_another_run_and_needs_another_generator(tmp_path: Path) -> None:
    run("generator", tmp_path, "validation.fold=0", "validation.folds=2")
    with pytest.raises(UserError, match=r"needs the generator .* train it with: .*validation\.fold=1"):
        run("classifier", tmp_path, "validation.fold=1", "validation.folds=2")


def test_a_run_stops_where_it_is_asked_to_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """See tests/runs/test_resume.py for kills; here the run ends by itself, as a success."""
    from tests.runs.tiny import assert_same_run

    run("classifier", tmp_path / "whole", experiment="baseline")
    stopped = run("classifier", tmp_path / "twice", "monitor.stop_after=1", experiment="baseline")
    assert not (stopped / "result.json").exists()
    status = json.loads((stopped / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("interrupted", "stopped after epoch 1 (monitor.stop_after)")
    assert len((stopped / "metrics.jsonl").read_text().splitlines()) == 1

    run("classifier", tmp_path / "twice", "monitor.stop_after=1", experiment="baseline")
    assert len((stopped / "metrics.jsonl").read_text().splitlines()) == 1, "nothing is left to do"

    run("classifier", tmp_path / "twice", experiment="baseline")
    assert not (stopped / "status.json").exists()
    assert_same_run(stopped, folder_of("classifier", tmp_path / "whole"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["validation.fold=5"], r"validation\.fold=5: must be below validation\.folds=5"),
        (["validation.fold=0", "validation.extra=1"], r"choose one of validation\.fold, validation\.extra"),
        (["validation.folds=3"], r"validation\.folds=3: has no effect without validation\.fold"),
        (["validation.seed=3"], r"validation\.seed=3: has no effect without"),
        (["validation.published=true"], r"validation\.published=true: .* choose split=gem"),
        (["validation.folds=1", "validation.fold=0"], r"validation\.folds=1: must be at least 2"),
        (["split=gem", "split_seed=3"], r"split\.number=3: must be 0 to 2 \(by default it is split_seed\)"),
        (["validation.fold=0"], r"validation\.folds=5: class . has 2 images in the drawn subset"),
    ],
)
def test_mistakes_are_named(given: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(composed("classifier", overrides("classifier", tmp_path / "runs", "baseline", *given)))
    assert not (tmp_path / "runs").exists()
