"""What commands write to a terminal: log lines and errors on stderr, tables on stdout."""

import io
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chimeramix.errors import EXPECTED, Interrupted, one_line, status_of

_LEAST = 24  # characters that a column of words keeps, if it has as many


def set_up_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names need not be UTF-8
    # What a library thinks of an image's metadata or of its own font cache is nothing that a user could mend.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.raiseExceptions = False  # no traceback for a log line that a full disk does not take


def exit_status(work: Callable[[], object]) -> int:
    """Does a command's work and returns its exit status; an expected error is one line on stderr."""
    try:
        work()
    except EXPECTED as error:
        line = one_line(error).encode(errors="backslashreplace").decode()  # file names need not be UTF-8
        print(f"error: {line}", file=sys.stderr)
        return status_of(error)
    except Interrupted as stop:
        again = "the same command without rerun=true" if stop.rerun else "the same command"
        print(f"interrupted; {again} goes on from here", file=sys.stderr)
        return status_of(stop)
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        return status_of(stop)
    return 0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While entered, SIGTERM ends the process like an error, so that temporary files are removed; what saves on SIGTERM
    has a handler of its own meanwhile."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def time_text(seconds: float) -> str:
    """`80 s`, `5 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Text:
    """A cell of a table."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """Texts to print.

    Attributes:
        left: number of leading columns with words, which may be broken; the others hold numbers.
        notes: lines below the caption, such as what abbreviated names stand for.
    """

    title: str
    header: list[str]
    rows: list[list[Text]]
    caption: str = ""
    left: int = 1
    notes: Sequence[str] = ()


def print_table(table: Table) -> None:
    """Prints to the terminal, as wide as it is if the table can be, or to a pipe, as wide as needed."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD)
    needed = 2
    for position, column in enumerate(table.header):
        longest = max(len(column), *(len(row[position].text) for row in table.rows))
        if position < table.left:
            least = min(longest, _LEAST)
            drawn.add_column(escape(column), overflow="fold", min_width=least)
        else:
            least = longest
            drawn.add_column(escape(column), justify="right", no_wrap=True, min_width=least)
        needed += least + 3
    for row in table.rows:
        drawn.add_row(*(f"[bold]{escape(cell.text)}[/bold]" if cell.bold else escape(cell.text) for cell in row))
    console = Console(highlight=False)
    # A pipe has no width of its own. A terminal that is too narrow breaks the lines, which loses nothing.
    width = max(console.width, needed) if console.is_terminal else 1000
    console = Console(highlight=False, width=width)
    console.print(f"[bold]{escape(table.title)}[/bold]")
    console.print(drawn)
    if table.caption:
        console.print(f"  [italic]{escape(table.caption)}[/italic]")
    for note in table.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    if table.caption or table.notes:
        console.print()
