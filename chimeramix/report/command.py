"""What `chimeramix report` does with its options."""

import logging
from collections.abc import Sequence
from pathlib import Path

from chimeramix.errors import RunFailure, UserError
from chimeramix.report.paired import compare
from chimeramix.report.papers import paper_figures
from chimeramix.report.plots import draw_plots
from chimeramix.report.render import latex, markdown, results_csv, runs_csv
from chimeramix.report.results import read_store, summarise
from chimeramix.report.tables import comparison_table, papers_table, results_tables
from chimeramix.report.variants import variants_tables
from chimeramix.report.where import choose
from chimeramix.terminal import counted, print_table

log = logging.getLogger(__name__)

FORMATS = ("terminal", "markdown", "latex", "csv", "runs-csv")


def report(
    folder: Path,
    form: str,
    metric: str,
    pair: tuple[str, str] | None,
    plots: Path | None,
    conditions: Sequence[str] = (),
    variants: bool = False,
) -> None:
    """Prints the tables of all finished classifier runs below a folder; see `chimeramix report --help`.

    Args:
        form: one of `FORMATS`.
        metric: one of `chimeramix.report.results.METRICS`.
        pair: two methods to compare over the same splits.
        plots: where plots go; None: none are drawn.
        conditions: `KEY=VALUE` of the runs to report; see `chimeramix.report.where`.
        variants: whether averaged weights and views are compared with the plain ones.

    Raises:
        UserError: for what can't be read, compared or written.
        RunFailure: at the end, where damaged records are left out.
    """
    if form in ("csv", "runs-csv") and pair is not None:
        raise UserError(f"--format {form} holds no comparison: take another format for --compare")
    if form in ("csv", "runs-csv") and variants:
        raise UserError(f"--format {form} holds no variants: take another format for --variants")
    store = choose(read_store(folder, metric), conditions)
    results = summarise(store)
    figures = paper_figures() if metric == "accuracy" else {}
    if form == "runs-csv":
        print(runs_csv(results, store.settings), end="")
    elif form == "csv":
        print(results_csv(results, figures), end="")
    else:
        tables = results_tables(results, metric)
        against = papers_table(results, figures)
        if against is not None:
            tables.append(against)
        if pair is not None:
            tables.append(comparison_table(compare(results, *pair)))
        if variants:
            tables += variants_tables(results, metric)
        for table in tables:
            if form == "terminal":
                print_table(table)
            else:
                print({"markdown": markdown, "latex": latex}[form](table))
    if form == "terminal" and store.unfinished:
        verb = "is" if store.unfinished == 1 else "are"
        print(f"{counted(store.unfinished, 'classifier run')} {verb} not finished: chimeramix status {folder}")
    if plots is not None:
        files = draw_plots(results, plots, metric)
        if form == "terminal":
            print(f"{len(files)} plots are in {plots}")
    for line in store.damaged:
        log.error("left out: %s", line)
    if store.damaged:
        count = len(store.damaged)
        raise RunFailure(f"{count} run{'s' * (count > 1)} with damaged records left out")
