"""How a process tells what it does: lines on stderr."""

import logging


def set_up_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    logging.raiseExceptions = False  # no traceback for a log line that a full disk does not take
