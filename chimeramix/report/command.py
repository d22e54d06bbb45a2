"""What `chimeramix report` does with its options."""

import logging
from collections.abc import Sequence
from pathlib import Path

from chimeramix.errors import RunFailure, UserError
from chimeramix.report.against import against_table, compare_all, draw_against
from chimeramix.report.extras import Extras
from chimeramix.report.over import curves_over, draw_over, over_tables
from chimeramix.report.paired import compare
from chimeramix.report.papers import paper_figures
from chimeramix.report.plots import draw_plots, plots_folder
from chimeramix.report.render import latex, markdown, results_csv, runs_csv
from chimeramix.report.results import summarise
from chimeramix.report.store import read_store
from chimeramix.report.tables import comparison_table, papers_table, results_tables
from chimeramix.report.where import choose
from chimeramix.terminal import Table, counted, print_table

log = logging.getLogger(__name__)

FORMATS = ("terminal", "markdown", "latex", "csv", "runs-csv")


def report(
    folder: Path,
    form: str,
    metric: str,
    pair: tuple[str, str] | None,
    plots: Path | None,
    conditions: Sequence[str] = (),
    extras: Extras = Extras(),  # noqa: B008 (it is immutable)
) -> None:
    """Prints the tables of all finished classifier runs below a folder; see `chimeramix report --help`.

    Args:
        form: one of `FORMATS`.
        metric: one of `chimeramix.report.results.METRICS`.
        pair: two methods to compare over the same splits.
        plots: where plots go; None: none are drawn.
        conditions: `KEY=VALUE` of the runs to report; see `chimeramix.report.where`.
        extras: further tables and a picture, of what runs predicted and cost.

    Raises:
        UserError: for what can't be read, compared or written.
        RunFailure: at the end, where damaged records or predictions are left out.
    """
    if form in ("csv", "runs-csv") and pair is not None:
        raise UserError(f"--format {form} holds no comparison: take another format for --compare")
    extras.check(form, pair is not None)
    recomputed = [name for name in ("variants", "ensemble", "ensemble_of") if getattr(extras, name)]
    if metric == "accuracy_median" and recomputed:
        option = f"--{recomputed[0].replace('_', '-')}"
        raise UserError(f"--metric accuracy_median is of the runs' own figures: take another one for {option}")
    everything = read_store(folder, metric)
    store = choose(everything, conditions)
    results = summarise(store)
    # For the tables and the plots; configurations are read for them.
    curves = curves_over(extras.over, results, store) if extras.over is not None else {}
    beside = compare_all(results, extras.against) if extras.against is not None else []
    unusable: dict[Path, str] = {}  # predictions, by run
    figures = paper_figures() if metric == "accuracy" else {}
    if form == "runs-csv":
        print(runs_csv(results, store.settings), end="")
    elif form == "csv":
        print(results_csv(results, figures), end="")
    else:
        tables = results_tables(results, metric)
        published = papers_table(results, figures)
        if published is not None:
            tables.append(published)
        comparisons = compare(results, *pair) if pair is not None else []
        if comparisons:
            tables.append(comparison_table(comparisons))
        tables += extras.tables(results, store, everything, metric, comparisons, unusable)
        tables += [against_table(each, metric) for each in beside]
        if extras.over is not None:
            tables += over_tables(extras.over, curves, metric)
        show(tables, form)
    if form == "terminal" and store.unfinished:
        verb = "is" if store.unfinished == 1 else "are"
        print(f"{counted(store.unfinished, 'classifier run')} {verb} not finished: chimeramix status {folder}")
    if plots is not None:
        with plots_folder(plots):
            files = draw_plots(results, plots, metric)
            for each in beside:
                files += draw_against(each, plots, metric)
            if extras.over is not None:
                files += draw_over(extras.over, curves, plots, metric)
        if form == "terminal":
            print(f"{len(files)} plots are in {plots}")
    for file in extras.draw(results, unusable):
        if form == "terminal":
            print(f"the images that most runs get wrong are in {file}")
    for line in (*store.damaged, *unusable.values()):
        log.error("left out: %s", line)
    if store.damaged or unusable:
        count = len(store.damaged) + len(unusable)
        raise RunFailure(f"{counted(count, 'run')} with damaged records left out")


def show(tables: Sequence[Table], form: str) -> None:
    """Prints tables as `terminal`, `markdown` or `latex`."""
    for table in tables:
        if form == "terminal":
            print_table(table)
        else:
            print({"markdown": markdown, "latex": latex}[form](table))
