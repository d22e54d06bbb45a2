"""Uninterrupted runs that others are compared with, trained once per test process."""

from pathlib import Path

import pytest

from tests.drawing import as_they_are, pictures_drawn_by
from tests.runs.tiny import run


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders of a generator and of the classifier that uses it, with their pictures."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pictures_drawn_by(as_they_are):
        return {role: run(role, folder) for role in ("generator", "classifier")}
