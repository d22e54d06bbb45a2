"""Tables as Markdown and LaTeX (booktabs), and all results as CSV."""

import csv
import io
import re

from chimeramix.report.papers import Figures
from chimeramix.report.results import Result, is_best
from chimeramix.report.tables import figure_of, is_inside
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
}
_COLUMNS = (
    *("dataset", "model", "method", "samples_per_class", "mean", "std", "seeds", "best"),
    *("paper_mean", "paper_std", "difference", "inside", "paper"),
)
_SIGNED = re.compile(r"\[?[+-]\d+\.\d+(, [+-]\d+\.\d+\])?")  # a hyphen for a minus won't do in print


def markdown(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def text(cell: Text) -> str:
        plain = cell.text.replace("|", r"\|")
        return f"**{plain}**" if cell.bold else plain

    rule = ["---" if position < table.left else "---:" for position in range(len(table.header))]
    lines = [line(table.header), line(rule), *(line([text(cell) for cell in row]) for row in table.rows)]
    return "\n".join([f"{table.title}", "", *lines, "", f"{table.caption}", ""])


def latex(table: Table) -> str:
    r"""A `table` environment; needs `\usepackage{booktabs}`."""

    def text(cell: Text) -> str:
        plain = _latex(cell.text)
        return rf"\textbf{{{plain}}}" if cell.bold else plain

    columns = "".join("l" if position < table.left else "r" for position in range(len(table.header)))
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_latex(table.title)}; {_latex(table.caption)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        "    " + " & ".join(_latex(name) for name in table.header) + r" \\",
        r"    \midrule",
        *("    " + " & ".join(text(cell) for cell in row) + r" \\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _latex(text: str) -> str:
    if _SIGNED.fullmatch(text):
        return f"${text.replace(', ', ',')}$"
    return "".join(_LATEX.get(character, character) for character in text)


def results_csv(results: list[Result], figures: Figures) -> str:
    """A line per result with all that is known of it; numbers in full, in percent."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for result in results:
        figure = figure_of(result, figures)
        row = [
            result.dataset,
            result.model,
            result.method,
            size_name(result.samples_per_class),
            result.mean,
            result.std,
            len(result.runs),
            is_best(result, results),
        ]
        if figure is not None:
            difference = result.mean - figure.mean
            row += [figure.mean, figure.std, difference, is_inside(result, figure), figure.source]
        else:
            row += [None] * 5
        writer.writerow(["" if value is None else value for value in row])
    return target.getvalue()
