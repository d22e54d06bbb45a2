"""`predictions.npz` and its one reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chimeramix.runs.predictions import read_predictions
from chimeramix.runs.record import DamagedRecord

RESULT = {"test": {"accuracy": 0.5}, "num_test": 2}
WHOLE: dict[str, Any] = {
    "logits": np.array([[0, -1, -2], [-3, 0, -1]], np.float16),
    "labels": np.array([0, 2]),
    "positions": np.array([0, 1]),
    "part": np.array("test"),
}


def test_what_a_run_predicted(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "predictions.npz", **WHOLE)
    found = read_predictions(tmp_path, RESULT)
    assert found is not None
    assert found.part == "test"
    assert found.answers.tolist() == [0, 1]
    assert found.right.tolist() == [True, False]


def test_runs_of_earlier_versions_have_none(tmp_path: Path) -> None:
    assert read_predictions(tmp_path, RESULT) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"logits": None}, "an array is missing"),
        ({"logits": WHOLE["logits"].astype(np.float32)}, r"logits: float32 \[2, 3\]"),
        ({"logits": WHOLE["logits"][0]}, r"logits: float16 \[3\]"),
        ({"logits": np.array([[0, np.nan, 0], [0, 0, 0]], np.float16)}, "logits: not numbers"),
        ({"logits": np.array([[0, np.inf, 0], [0, 0, 0]], np.float16)}, "not less their row's maximum"),
        ({"logits": WHOLE["logits"] + np.float16(1)}, "not less their row's maximum"),
        ({"labels": np.array([0, 3])}, "labels: not all of them are one of 3 classes"),
        ({"labels": np.array([0, 1, 2])}, "2 rows of logits, 3 labels"),
        ({"positions": np.array([1, 1])}, "positions: negative, or not all different"),
        ({"positions": np.array([0.0, 1.0])}, r"positions: float64"),
        ({"part": np.array("validation")}, "part: validation, which result.json has no figures of"),
        ({"part": np.array("train")}, "part: train"),
        ({"labels": np.array([0, 2], object)}, "allow_pickle=False"),
    ],
)
def test_damage_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    arrays = {name: array for name, array in {**WHOLE, **changes}.items() if array is not None}
    np.savez(tmp_path / "predictions.npz", **arrays)
    with pytest.raises(DamagedRecord, match=fault) as raised:
        read_predictions(tmp_path, RESULT)
    assert str(tmp_path / "predictions.npz") in str(raised.value)


def test_predictions_of_another_number_of_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "predictions.npz", **WHOLE)
    with pytest.raises(DamagedRecord, match=r"2 images, where result.json counts 3"):
        read_predictions(tmp_path, {**RESULT, "num_test": 3})


def test_logits_beyond_float16_are_at_its_end(tmp_path: Path) -> None:
    """Such a file is whole, and all that is computed from it stays finite."""
    logits = np.array([[0, -np.inf, -1], [-2, 0, -np.inf]], np.float16)
    np.savez(tmp_path / "predictions.npz", **{**WHOLE, "logits": logits})
    found = read_predictions(tmp_path, RESULT)
    assert found is not None
    assert found.logits.tolist() == [[0, -65504, -1], [-2, 0, -65504]]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(DamagedRecord):
        read_predictions(tmp_path, RESULT)


def test_a_file_that_was_cut_or_changed(tmp_path: Path) -> None:
    np.savez(tmp_path / "predictions.npz", **WHOLE)
    content = (tmp_path / "predictions.npz").read_bytes()
    changed = bytearray(content)
    changed[200] ^= 0xFF  # within the first array
    for each in (content[:-40], bytes(changed)):
        (tmp_path / "predictions.npz").write_bytes(each)
        with pytest.raises(DamagedRecord):
            read_predictions(tmp_path, RESULT)
