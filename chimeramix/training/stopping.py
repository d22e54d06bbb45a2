"""SIGINT and SIGTERM: finish the step, save, stop."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While entered, notes the first SIGINT or SIGTERM in `signal_number` instead of dying of it; a second one ends
    the process at once. A signal that the process ignores (SIGINT in a shell's background) stays ignored. Outside the
    main thread, where Python delivers no signals, this does nothing."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in self._SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not installed by Python
                    self._previous[number] = signal.signal(number, self._note)
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
