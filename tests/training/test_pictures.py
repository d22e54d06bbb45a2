"""Pictures hold the names that folders have, whatever these are. Warnings are errors here as everywhere."""

import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from chimeramix.training.pictures import draw_columns, draw_confusion, draw_curves


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(r"$\frac$", id="no formula"),
        pytest.param("$a$ and $b$", id="dollars"),
        pytest.param("日本語", id="signs without a glyph"),
        pytest.param("x" * 200, id="long"),
    ],
)
def test_any_name_can_be_drawn(name, tmp_path):
    record = {"epoch": 1, "train_accuracy": 0.5, "loss": 1.0, "test": {"accuracy": 0.5, "loss": 1.0}}
    draw_confusion(torch.eye(2), [name, "dog"], tmp_path / "confusion.png", name)
    draw_curves([record], "test", tmp_path / "curves.png", name)
    draw_columns({name: torch.zeros(1, 3, 8, 8)}, tmp_path / "columns.png", name)
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert max(picture.size) < 3000


def test_dollars_are_no_formula(tmp_path):
    """The two names differ in what a formula would leave out."""
    drawn = []
    for name in ("$ab$", "ab"):
        draw_confusion(torch.eye(2), [name, name], tmp_path / "confusion.png", "")
        with Image.open(tmp_path / "confusion.png") as picture:
            drawn.append(picture.tobytes())
    assert drawn[0] != drawn[1]


def test_long_names_keep_both_ends(tmp_path, monkeypatch):
    seen = {}
    original = Axes.set_yticks
    monkeypatch.setattr(Axes, "set_yticks", lambda self, *a, **k: (seen.update(k), original(self, *a, **k))[1])
    names = [f"Rattus rattus, {'brown ' * 30}female", "dog"]
    draw_confusion(torch.eye(2), names, tmp_path / "confusion.png", "")
    assert seen["labels"] == ["Rattus rattus, …n female", "dog"]
