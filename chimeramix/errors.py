"""The ways in which a command fails: its exit status, and one line that says what is wrong."""


class UserError(Exception):
    """A user's mistake (exit status 2): the message names the key or file, its value and the remedy."""


class RunFailure(Exception):
    """A run that could not go on (exit status 1), such as a full disk or a loss that became NaN."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved. Exit status 128 + signal number, as in shells.

    Attributes:
        rerun: whether the same command would start the run over, because of `rerun=true`.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
        self.rerun = False


PAUSED = "(monitor.stop_after)"
"""Ends the reason of a run that has stopped as it was asked to."""


class Paused(Exception):
    """The run has done the epochs that `monitor.stop_after` asks for, and is not finished; its state is saved."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"stopped after epoch {epoch} {PAUSED}")


EXPECTED = (UserError, RunFailure, OSError)
"""Errors that end a command with one line; all others are bugs and end it with a traceback."""


def status_of(error: BaseException) -> int:
    """The exit status of a command that an error ended."""
    if isinstance(error, Interrupted):
        return 128 + error.signal_number
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, UserError) else 1


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; with the error's type where it is not one of `EXPECTED`."""
    text = " ".join(str(error).split())
    if isinstance(error, EXPECTED) or type(error).__module__.startswith("chimeramix."):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}"
