"""Uninterrupted runs that others are compared with, trained once per test process."""

from pathlib import Path

import pytest

from tests.runs.tiny import run


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders of a generator and of the classifier that uses it."""
    runs = tmp_path_factory.mktemp("uninterrupted")
    return {role: run(role, runs) for role in ("generator", "classifier")}
