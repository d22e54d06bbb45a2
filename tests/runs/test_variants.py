"""A classifier's result is one of several evaluations of one training."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from chimeramix.errors import UserError
from chimeramix.runs.combinations import warn_of_views
from tests.composing import composed
from tests.runs.tiny import run


def result_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def test_plain_weights_and_views_are_the_result_unless_something_else_is_chosen(tmp_path: Path) -> None:
    folder = run("classifier", tmp_path, experiment="baseline")
    assert "variants" not in result_of(folder)


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["+dataset=demo/digits", "evaluation.views=flip"], True),
        (["+dataset=demo/digits", "augment=trivialaugment", "evaluation.views=flip_shift"], True),
        (["+dataset=demo/digits"], False),
        (["+dataset=demo/digits", "recipe.flip=0.5", "evaluation.views=flip"], False),
        (["+dataset=cifair10", "augment=autoaugment", "evaluation.views=flip"], False),
    ],
)
def test_mirror_images_are_warned_of_where_the_training_sees_none(
    words: list[str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_views(composed("classifier", words).config)
    assert ("shows mirror images" in caplog.text) == warned


def test_an_image_of_one_pixel_cannot_be_shifted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"views=flip_shift: images of dataset\.image_size=1 can't be shifted"):
        run("classifier", tmp_path, "dataset.image_size=1", "evaluation.views=flip_shift", experiment="baseline")


@pytest.mark.parametrize(
    ("more", "chosen"),
    [
        (["average=ema", "evaluation.views=flip"], "ema+flip"),
        (["average=ema", "average.result=plain", "evaluation.views=flip"], "flip"),
        (["average=swa", "average.start=0.5", "average.interval=2"], "swa"),
        (["average=swa", "average.start=0.5", "average.result=plain"], "plain"),
        (["evaluation.views=flip_shift"], "flip_shift"),
    ],
)
def test_variants_of_the_last_epoch(more: list[str], chosen: str, tmp_path: Path) -> None:
    """The result, its predictions and its tables are of the chosen one; the training is that of a plain run."""
    plain = run("classifier", tmp_path / "plain", experiment="baseline")
    folder = run("classifier", tmp_path / "more", *more, experiment="baseline")
    result, expected = result_of(folder), result_of(plain)
    weights, _, views = chosen.partition("+")
    assert result["variants"]["plain"] == expected["test"]
    assert result["test"] == result["variants"][chosen]
    assert {weights, views or weights, "plain"} <= {*result["variants"]}
    assert len(result["variants"]) == 2 ** ("views" in str(more)) * 2 ** ("average" in str(more))
    with np.load(folder / "predictions.npz") as file:
        right = file["logits"].argmax(1) == file["labels"]
        assert right.mean() == result["test"]["accuracy"]
        assert file["positions"].tolist() == list(range(1000))
        assert str(file["part"]) == "test"
    with (folder / "per_class.csv").open() as table:
        recalls = [float(row["accuracy"]) * int(row["images"]) for row in csv.DictReader(table)]
    assert round(sum(recalls)) == right.sum()
    same = all(
        torch.equal(tensor, other)
        for tensor, other in zip(
            load_file(folder / "classifier.safetensors").values(),
            load_file(plain / "classifier.safetensors").values(),
            strict=True,
        )
    )
    assert same == (not chosen.startswith(("ema", "swa")))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    plain_lines = [json.loads(line) for line in (plain / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [line["loss"] for line in plain_lines]
    assert ["variants" in line for line in lines] == [False, True]
    assert lines[-1]["test"] == result["test"]
