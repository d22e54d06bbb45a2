"""The two ways in which a command ends other than well; both are told in one line, without a traceback."""


class UserError(Exception):
    """A mistake of the user's (exit status 2): the message names the key or file, its value and the remedy."""


class RunFailure(Exception):
    """A run that could not go on (exit status 1), such as a full disk or a loss that became NaN."""
