"""The tables that docs/results.md and README.md show, out of the records below results/."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from chimeramix.report.against import Against, against_table, compare_all
from chimeramix.report.effort import effort_tables
from chimeramix.report.paired import Comparison, paired
from chimeramix.report.papers import Figures, paper_figures
from chimeramix.report.render import markdown
from chimeramix.report.results import Result, summarise
from chimeramix.report.store import read_store
from chimeramix.report.tables import difference_cells, in_order, results_tables
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text
from tools.choice_tables import (
    CHIMERA_LOSSES,
    GLICO_LOSSES,
    beside_table,
    combinations_table,
    ensembles_table,
    generators_table,
    searches_table,
    steps_table,
)

REFERENCE, GRID, SEG = "Baseline", "ChimeraMix+Grid", "ChimeraMix+Seg"
PAPER = ("cifair10", "wideresnet_16_8")  # what the paper's figures are of
FIRST_SCREEN = (REFERENCE, "MixUp", GRID, SEG)
PAIRS = (
    (GRID, SEG),
    (GRID, "MixUp"),
    (SEG, "SegMix (pixels)"),
    (SEG, "MixUp"),
    (SEG, "AGMix"),
    ("SegMix (pixels)", "MixUp"),
    ("SegMix (pixels)", "GridMix (pixels)"),
)
ENSEMBLES = (
    ("Baseline", "MixUp"),
    (SEG, "Baseline"),
    (SEG, "MixUp"),
    (SEG, "SegMix (pixels)"),
    (SEG, f"{SEG}, MixUp"),
    ("SegMix (pixels)", "MixUp"),
    (SEG, "SegMix (pixels)", "MixUp"),
    (SEG, f"{SEG}, MixUp", "MixUp"),
)
ABLATIONS = ((GRID, "GridMix (pixels)"), (SEG, "SegMix (pixels)"))  # the same masks on pixels


def blocks_of(records: Path) -> dict[str, str]:
    """The tables by name, as Markdown.

    Args:
        records: folder with `small` (the table's runs), `fp32` (plain training in that precision, otherwise the same
            runs), `earlier` (methods that were tested with other settings before), `combinations` (of methods, on
            held-out images), `generators` (trials of generators), `steps` (the choice of the number of steps) and
            `searches` (`tuning.json` of each search).
    """
    store, combined = read_store(records / "small"), summarise(read_store(records / "combinations"))
    tested = [result for result in summarise(store) if result.part == "test"]
    earlier, in_fp32 = (summarise(read_store(records / name)) for name in ("earlier", "fp32"))
    beside = compare_all(tested, REFERENCE)
    found = {
        "first": results_tables(list(_complete(tested)), "accuracy"),
        "table": [against_table(each, "accuracy") for each in beside],
        "pairs": [_pairs(each) for each in beside],
        "claims": [_claims(each) for each in beside],
        "fp32": [beside_table(tested, in_fp32, "fp32", [GRID], f"{REFERENCE}, fp32")],
        "effort": effort_tables(tested, store.generators),
        "combinations": [combinations_table(combined, REFERENCE)],
        "ensembles": [ensembles_table(combined, ENSEMBLES, REFERENCE)],
        "steps": [steps_table(summarise(read_store(records / "steps")))],
        "searches": [searches_table(sorted((records / "searches").glob("*.json")))],
        "generators": [generators_table(records, SEG, CHIMERA_LOSSES)],
        "glico": [generators_table(records, "GLICO", GLICO_LOSSES)],
        "earlier": [beside_table(tested, earlier, "earlier settings", [REFERENCE], REFERENCE)],
    }
    return {name: "\n".join(map(markdown, tables)) for name, tables in found.items()}


def _complete(tested: Sequence[Result]) -> Iterable[Result]:
    """What the first screen shows: methods that have all splits."""
    splits = {each.samples_per_class: len(each.runs) for each in tested if each.method == REFERENCE}
    for result in tested:
        if result.method in FIRST_SCREEN and len(result.runs) == splits.get(result.samples_per_class):
            yield result


def _pairs(against: Against) -> Table:
    """Differences between methods that stand beside each other in the table."""
    return Table(
        title="Between methods, in percentage points",
        header=["method", "less", "per class", "difference", "95 % interval", "splits"],
        rows=[[*_whose(each), *_how_much(each)] for each in _between(against, PAIRS)],
        caption="means over the splits that both have, with Student's t intervals; bold: it excludes 0",
        left=2,
    )


def _claims(against: Against) -> Table:
    """Differences to the baseline, and of ChimeraMix to its masks on pixels, beside the paper's where it has them."""
    figures = paper_figures()
    rows = []
    for method in in_order(against.results):
        for size in against.sizes:
            comparison = against.comparisons.get((method, size))
            if comparison is not None:
                rows += _claim(comparison, figures)
    for comparison in _between(against, ABLATIONS):
        rows += _claim(comparison, figures)
    return Table(
        title="Differences in percentage points",
        header=["method", "less", "per class", "in the paper", "here", "95 % interval", "splits"],
        rows=rows,
        caption="in the paper: ChimeraMix, Tables 1, 3 and 4, ciFAIR-10, WRN-16-8, 100,000 steps; it has no CutMix, "
        "FMix, GridMix, AGMix or MiAMix",
        left=2,
    )


def _claim(comparison: Comparison, figures: Figures) -> list[list[Text]]:
    """One row, or none where the paper has no figure."""
    methods = (comparison.first.method, comparison.second.method)
    size = comparison.first.samples_per_class
    papers = [_published(name, size, figures) for name in methods]
    if papers[0] is None or papers[1] is None:
        return []
    return [[*_whose(comparison), Text(f"{papers[0] - papers[1]:+.2f}"), *_how_much(comparison)]]


def _between(against: Against, names: Iterable[tuple[str, str]]) -> Iterable[Comparison]:
    """Of the named pairs those whose methods are both there, at each number of samples per class."""
    for first, second in names:
        for size in against.sizes:
            one, other = against.results.get((first, size)), against.results.get((second, size))
            comparison = paired(one, other) if one is not None and other is not None else None
            if comparison is not None:
                yield comparison


def _whose(comparison: Comparison) -> list[Text]:
    size = size_name(comparison.first.samples_per_class)
    return [Text(comparison.first.method), Text(comparison.second.method), Text(size)]


def _how_much(comparison: Comparison) -> list[Text]:
    return [*difference_cells(comparison.difference, comparison.half_width), Text(str(comparison.pairs))]


def _published(method: str, size: int | None, figures: Figures) -> float | None:
    model = "scattering" if method.startswith("Scattering") else PAPER[1]
    found = figures.get((PAPER[0], model, method.partition(",")[0], size))
    return None if found is None else found.mean
