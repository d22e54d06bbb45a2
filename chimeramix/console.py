"""The console script: `chimeramix.cli`, or one line where the packages of the commands are not installed."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; see `chimeramix.cli.main`."""
    try:
        from chimeramix.cli import main as run

        return run(arguments)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("", "chimeramix"):
            raise
        remedy = 'the commands need more than the mixers: pip install "chimeramix[train]"'
        print(f"error: {missing} is not installed; {remedy}", file=sys.stderr)
        return 1
