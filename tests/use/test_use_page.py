"""docs/use.md: its Python examples run, and its lines of output are what the programs print."""

import re
from pathlib import Path
from typing import Any

import pytest

import chimeramix

PAGE = (Path(__file__).parents[2] / "docs" / "use.md").read_text(encoding="utf-8")


def block(title: str, language: str = "python") -> str:
    """The first block of a section."""
    section = PAGE[PAGE.index(f"\n## {title}\n") :].split("\n## ")[1]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)[0]


def test_in_python(plain: Path, photos: Path) -> None:
    paths = sorted((photos / "test" / "spots").iterdir())[:3]
    names: dict[str, Any] = {"paths": paths}
    exec(block("In Python").replace('"runs/classifier/RUN"', repr(str(plain))), names)
    assert names["probabilities"].sum(1).tolist() == pytest.approx([1] * 3)
    assert set(names["names"]) <= set(chimeramix.load_classifier(plain).classes)
