"""SIGINT and SIGTERM: finish the step, save, stop."""

import signal
import threading
from types import FrameType


class StopRequest:
    """While entered, notes the first SIGINT or SIGTERM in `signal_number` instead of dying of it; a second one ends
    the process at once. Outside the main thread, where Python delivers no signals, it does nothing."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        else:
            self._previous = {}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __exit__(self, *error: object) -> None:
        self._restore()
