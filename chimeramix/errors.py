"""The ways in which a command ends other than well, each told in one line and without a traceback."""


class UserError(Exception):
    """A mistake of the user's (exit status 2): the message names the key or file, its value and the remedy."""


class RunFailure(Exception):
    """A run that could not go on (exit status 1), such as a full disk or a loss that became NaN."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved. Exit status 128 + signal number, as shells have it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
