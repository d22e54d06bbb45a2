"""`python -m tools.results`: the committed records, and the tables that stand in the pages."""

import json
import re
from pathlib import Path

import pytest

from chimeramix.report.store import read_store
from tests.report.store import add_run
from tools import results

BLOCKS = {
    "results.md": [
        "table",
        "pairs",
        "claims",
        "fp32",
        "effort",
        "combinations",
        "ensembles",
        "steps",
        "searches",
        "generators",
        "glico",
        "earlier",
    ],
    "README.md": ["first", "table"],
}


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: str(page.name))
def test_the_pages_show_what_the_records_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = results.blocks_of(results.RECORDS)
    assert results.with_tables(text, blocks) == text, "stale: run make results"
    assert [name for name in blocks if blocks[name] in text] == BLOCKS[page.name]


def test_records_name_no_place_of_a_machine() -> None:
    files = list(results.RECORDS.rglob("*.json*"))
    assert files
    for path in files:
        assert not re.search(r"(?<![\w.])/\w", path.read_text(encoding="utf-8")), path


def test_only_finished_runs_are_taken_in(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    finished = add_run(runs, "MixUp", metrics=[{"epoch": 1, "step": 10, "loss": 2.0}])
    (finished / "classifier.safetensors").write_bytes(b"weights")
    (add_run(runs, "Baseline") / "result.json").unlink()

    assert results.take_in(runs, tmp_path / "records") == 1
    (taken,) = (tmp_path / "records" / "classifier").iterdir()
    assert sorted(path.name for path in taken.iterdir()) == ["metrics.jsonl", "result.json", "spec.json"]
    assert [run.name for run in read_store(tmp_path / "records").runs] == ["MixUp"]


def test_predictions_are_taken_in_of_held_out_images(tmp_path: Path) -> None:
    settings = {"validation": {"folds": None, "fold": None, "extra": 100, "seed": 0}}
    runs = tmp_path / "runs"
    for run in (add_run(runs, metrics=[]), add_run(runs, "MixUp", metrics=[], settings=settings)):
        (run / "predictions.npz").write_bytes(b"logits")
    assert results.take_in(runs, tmp_path / "records") == 2
    (taken,) = (tmp_path / "records" / "classifier").glob("*/predictions.npz")
    assert taken.read_bytes() == b"logits"
    assert json.loads((taken.parent / "result.json").read_text())["method"] == "MixUp"


def test_searches_are_taken_in_without_their_command(tmp_path: Path) -> None:
    for name, trials in (("some", [{"score": 0.5}]), ("none", [])):
        (tmp_path / "tuning" / name).mkdir(parents=True)
        study = {"command": "chimeramix tune dataset.root=/somewhere", "trials": trials}
        (tmp_path / "tuning" / name / "tuning.json").write_text(json.dumps(study))
    assert results.take_in_searches(tmp_path, tmp_path / "searches") == 1
    (taken,) = (tmp_path / "searches").iterdir()
    assert (taken.name, json.loads(taken.read_text())) == ("some.json", {"trials": [{"score": 0.5}]})
