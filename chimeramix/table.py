"""A table of texts, and how it is printed to a terminal."""

from dataclasses import dataclass


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
    """

    title: str
    header: list[str]
    rows: list[list[Text]]
    caption: str = ""
    left: int = 1


def print_table(table: Table) -> None:
    """Prints to the terminal, as wide as it is, or to a pipe, as wide as needed."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD)
    for position, column in enumerate(table.header):
        if position < table.left:
            drawn.add_column(escape(column), overflow="fold")
        else:
            drawn.add_column(escape(column), justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(f"[bold]{escape(cell.text)}[/bold]" if cell.bold else escape(cell.text) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=1000)  # a pipe has no width of its own
    console.print(f"[bold]{escape(table.title)}[/bold]")
    console.print(drawn)
    if table.caption:
        console.print(f"  [italic]{escape(table.caption)}[/italic]\n")
