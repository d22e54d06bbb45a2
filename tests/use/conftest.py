"""Trained generators, shared by the tests of this folder."""

import pytest

from tests.use.tiny import Generators


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Generators:
    return Generators(tmp_path_factory.mktemp("generators"))
