"""Uninterrupted runs that others are compared with, trained once per test process."""

from pathlib import Path
from typing import Any

import pytest

from chimeramix.files import write_atomically
from chimeramix.runs import train as runs
from chimeramix.training import classifier, generator
from tests.runs.tiny import run


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders of a generator and of the classifier that uses it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return {role: run(role, folder) for role in ("generator", "classifier")}


@pytest.fixture
def quick_pictures(uninterrupted: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are empty files, written as the real ones are: drawing them takes longer than the tiny training."""

    def draw(*arguments: Any) -> None:
        (path,) = (argument for argument in arguments if isinstance(argument, Path))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: temporary.touch())

    monkeypatch.setattr(generator, "draw_columns", draw)
    monkeypatch.setattr(classifier, "draw_confusion", draw)
    monkeypatch.setattr(runs, "draw_curves", draw)
