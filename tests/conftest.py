"""What every test leaves as it found it."""

import logging
import signal
from collections.abc import Iterator

import pytest

from tests.drawing import pictures_drawn_by, single_pixels

# A shell starts its background jobs with SIGINT ignored, and so would be the commands that tests interrupt with it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _quick_pictures() -> Iterator[None]:
    """Of all runs in this process; `tests/runs/conftest.py` has some that are drawn."""
    with pictures_drawn_by(single_pixels):
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands set up logging for their process; in a test that handler would outlive the captured stream it has."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
