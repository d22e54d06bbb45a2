"""Tables as Markdown and LaTeX (booktabs), and all results or runs as CSV."""

import csv
import io
import re
from typing import Any

from chimeramix.report.labels import differing_keys, flat, shown
from chimeramix.report.papers import Figures
from chimeramix.report.results import METRICS, Result, is_best
from chimeramix.report.tables import figure_of, is_inside
from chimeramix.runs.record import metrics_of
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "†": r"$\dagger$",
}
_COLUMNS = (
    *("dataset", "model", "method", "samples_per_class", "mean", "std", "seeds", "best"),
    *("paper_mean", "paper_std", "difference", "inside", "paper", "settings", "part"),
)
_RUN_COLUMNS = (
    *("identity", "folder", "dataset", "model", "method", "samples_per_class", "seed", "split_seed"),
    *("part", "split", "fold", "validation_seed"),
)
_SIGNED = re.compile(r"\[?[+-]\d+\.\d+(, [+-]\d+\.\d+\])?")  # a hyphen for a minus won't do in print


def markdown(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def text(cell: Text) -> str:
        plain = escaped(cell.text)
        return f"**{plain}**" if cell.bold else plain

    def escaped(name: str) -> str:
        return name.replace("|", r"\|")

    rule = ["---" if position < table.left else "---:" for position in range(len(table.header))]
    lines = [
        line(list(map(escaped, table.header))),
        line(rule),
        *(line([text(cell) for cell in row]) for row in table.rows),
    ]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([table.title, "", *lines, "", table.caption, *(["", *notes] if notes else []), ""])


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
        *(rf"  \par\footnotesize {_latex(note)}" for note in table.notes),
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
        row += [_settings(result), result.part]
        writer.writerow(["" if value is None else value for value in row])
    return target.getvalue()


def runs_csv(results: list[Result], settings: dict[str, dict[str, Any]]) -> str:
    """A line per run: what it is, its metrics (in percent, the loss as it is) and the settings in which runs differ.

    Args:
        settings: the configurations that `FinishedRun.settings` names.
    """
    pairs = [(result, run) for result in results for run in result.runs.values()]
    metrics = list(dict.fromkeys(metric for _, run in pairs for metric in metrics_of(run.record)))
    flat_settings = {identity: dict(flat(settings[identity])) for identity in {run.settings for _, run in pairs}}
    differing = differing_keys(flat_settings.values())
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*_RUN_COLUMNS, *metrics, *differing])
    for result, run in sorted(pairs, key=lambda pair: str(pair[1].folder)):
        names = [result.dataset, result.model, result.method, size_name(result.samples_per_class)]
        scores = [_in_percent(metric, metrics_of(run.record).get(metric)) for metric in metrics]
        own = flat_settings[run.settings]
        values = [shown(key, own[key])[1] if key in own else "" for key in differing]
        draw = ["" if value < 0 else value for value in run.draw]
        writer.writerow([run.identity, run.folder, *names, *draw[:2], run.part, *draw[2:], *scores, *values])
    return target.getvalue()


def _in_percent(metric: str, value: float | None) -> float | str:
    if value is None:
        return ""
    return 100 * value if metric in METRICS else value


def _settings(result: Result) -> str:
    """What tells a result apart from others, in full."""
    return "; ".join(filter(None, (result.data_set.settings, result.variant.settings)))
