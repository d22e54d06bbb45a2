"""Signals that end a run or ask for a checkpoint: finish the step, save, stop."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While entered, notes the first SIGINT or SIGTERM in `signal_number`, and the process goes on; a second one
    ends it at once. A signal that the process ignores (SIGINT in a shell's background) stays ignored. Outside the
    main thread, where Python delivers no signals, this does nothing.

    In a job of a sweep, which is a process that handles SIGUSR2, that is the signal that stops: it comes before a time
    limit or a preemption, and its handler puts the job back into the queue. SIGTERM sets `save` there and the
    run goes on: a job that ended by itself would not be started again, and one that is not killed after all would have
    stopped for nothing.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.save = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            in_job = callable(signal.getsignal(signal.SIGUSR2))
            handlers = {signal.SIGINT: self._note, signal.SIGTERM: self._ask_to_save if in_job else self._note}
            if in_job:
                handlers[signal.SIGUSR2] = self._note
            for number, handler in handlers.items():
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not installed by Python
                    self._previous[number] = signal.signal(number, handler)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _ask_to_save(self, number: int, frame: FrameType | None) -> None:
        self.save = True

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __exit__(self, *error: object) -> None:
        self._restore()
