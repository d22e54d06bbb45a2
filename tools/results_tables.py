"""The tables that docs/results.md and README.md show, out of the records below results/."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from chimeramix.files import read_json_lines
from chimeramix.report.against import Against, against_table, compare_all
from chimeramix.report.effort import effort_tables
from chimeramix.report.labels import Label
from chimeramix.report.paired import Comparison, paired
from chimeramix.report.papers import Figures, paper_figures
from chimeramix.report.render import markdown
from chimeramix.report.results import Result, summarise
from chimeramix.report.store import read_store
from chimeramix.report.tables import ABSENT, difference_cells, in_order, mean_and_std, results_tables, steps_of
from chimeramix.runs.record import find_runs, read_record
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

REFERENCE, SEG = "Baseline", "ChimeraMix+Seg"
PAPER = ("cifair10", "wideresnet_16_8")  # what the paper's figures are of
FIRST_SCREEN = (REFERENCE, "MixUp", "ChimeraMix+Grid", SEG)
ABLATIONS = {"ChimeraMix+Grid": "GridMix (pixels)", SEG: "SegMix (pixels)"}  # the same masks on pixels


def blocks_of(records: Path) -> dict[str, str]:
    """The tables by name, as Markdown.

    Args:
        records: folder with `small` (the table's runs), `earlier` (methods that were tested with other
            settings before), `generators` (trials of generators), `steps` (the choice of the number of steps) and
            `searches` (`tuning.json` of each search).
    """
    store = read_store(records / "small")
    tested = [result for result in summarise(store) if result.part == "test"]
    beside = compare_all(tested, REFERENCE)
    found = {
        "first": results_tables(list(_complete(tested)), "accuracy"),
        "table": [against_table(each, "accuracy") for each in beside],
        "claims": [_claims(each) for each in beside],
        "effort": effort_tables(tested, store.generators),
        "steps": [_steps(summarise(read_store(records / "steps")))],
        "searches": [_searches(sorted((records / "searches").glob("*.json")))],
        "generators": [_generators(records)],
        "earlier": [_earlier(tested, summarise(read_store(records / "earlier")))],
    }
    return {name: "\n".join(map(markdown, tables)) for name, tables in found.items()}


def _complete(tested: Sequence[Result]) -> Iterable[Result]:
    """What the first screen shows: methods that have all splits."""
    splits = {each.samples_per_class: len(each.runs) for each in tested if each.method == REFERENCE}
    for result in tested:
        if result.method in FIRST_SCREEN and len(result.runs) == splits.get(result.samples_per_class):
            yield result


def _claims(against: Against) -> Table:
    """Differences to the baseline, and of ChimeraMix to its masks on pixels, beside the paper's where it has them."""
    figures = paper_figures()
    rows = []
    for method in in_order(against.results):
        for size in against.sizes:
            comparison = against.comparisons.get((method, size))
            if comparison is not None:
                rows += _claim(comparison, figures)
    for first, second in ABLATIONS.items():
        for size in against.sizes:
            both = [against.results.get((name, size)) for name in (first, second)]
            if both[0] is not None and both[1] is not None:
                comparison = paired(both[0], both[1])
                rows += _claim(comparison, figures) if comparison is not None else []
    return Table(
        title="Differences in percentage points",
        header=["method", "less", "per class", "in the paper", "here", "95 % interval", "splits"],
        rows=rows,
        caption="in the paper: ChimeraMix, Tables 1, 3 and 4, ciFAIR-10, WRN-16-8, 100,000 steps; it has no CutMix, "
        "FMix, GridMix, AGMix and MiAMix",
        left=2,
    )


def _claim(comparison: Comparison, figures: Figures) -> list[list[Text]]:
    """One row, or none where the paper has no figure."""
    methods = (comparison.first.method, comparison.second.method)
    size = comparison.first.samples_per_class
    papers = [_published(name, size, figures) for name in methods]
    if papers[0] is None or papers[1] is None:
        return []
    cells = [*map(Text, methods), Text(size_name(size)), Text(f"{papers[0] - papers[1]:+.2f}")]
    return [[*cells, *difference_cells(comparison.difference, comparison.half_width), Text(str(comparison.pairs))]]


def _published(method: str, size: int | None, figures: Figures) -> float | None:
    model = "scattering" if method.startswith("Scattering") else PAPER[1]
    found = figures.get((PAPER[0], model, method.partition(",")[0], size))
    return None if found is None else found.mean


def _steps(results: Sequence[Result]) -> Table:
    """A row for each number of steps, a column for each method."""
    scores = {(steps_of(result)[0], result.name): mean_and_std(result.scores) for result in results}
    methods = sorted({name for _, name in scores})
    return Table(
        title="Number of steps: validation accuracy in %, 50 per class",
        header=["steps", *methods],
        rows=[
            [Text(f"{steps:,}"), *(Text(scores.get((steps, name), ABSENT)) for name in methods)]
            for steps in sorted({steps for steps, _ in scores})
        ],
        caption=f"mean ± std over {len(results[0].runs)} splits, 1,000 images each",
    )


def _searches(files: Iterable[Path]) -> Table:
    """A row for each learning rate and weight decay, a column for each search."""
    scores: dict[tuple[float, float], dict[str, float]] = defaultdict(dict)
    best: dict[str, float] = {}
    for file in files:
        study = json.loads(file.read_text(encoding="utf-8"))
        for trial in study["trials"]:
            values = trial["values"]
            place = values["optimizer.lr"], values["optimizer.weight_decay"]
            scores[place][study["method"]] = 100 * trial["score"]
        best[study["method"]] = 100 * study["trials"][study["best"]]["score"]
    rows = [
        [Text(f"{rate:g}"), Text(f"{decay:g}")]
        + [Text(f"{found[name]:.1f}", found[name] == best[name]) if name in found else Text("") for name in best]
        for (rate, decay), found in sorted(scores.items())
    ]
    return Table(
        title="Searches: validation accuracy in %, 50 per class",
        header=["learning rate", "weight decay", *best],
        rows=rows,
        caption="one run of 4,000 steps each, 1,000 images; bold: the best of its search; empty: not among its trials",
    )


def _generators(records: Path) -> Table:
    """What the generators of ChimeraMix+Seg reach on their labelled images in the last epoch, 50 a class."""
    lines: dict[tuple[str, ...], list[dict[str, float]]] = defaultdict(list)
    for name in ("small", "earlier", "generators"):
        for run in find_runs(records / name / "generator"):
            record = read_record(run.path)
            if record is None or (record.result["method"], record.result["max_labels_per_class"]) != (SEG, 50):
                continue
            generator = record.spec["generator"]
            settings = [
                "left-over images" if name == "generators" else "the table's splits",
                generator["image_size"],
                generator["features"],
                generator["batch_size"],
                generator["schedule"]["_target_"].rpartition(".")[2].lower(),
                generator["optimizer"]["lr"],
                f"{record.result['steps']:,}",
            ]
            lines[tuple(map(str, settings))].append(read_json_lines(run.path / "metrics.jsonl")[-1])
    losses = ("reconstruction", "perceptual", "adversarial", "discriminator")
    means = {place: [fmean(line[loss] for line in found) for loss in losses] for place, found in lines.items()}
    order = sorted(means, key=lambda place: (*place[:2], -means[place][0]))
    what = ["images", "image size", "features", "batch", "schedule", "learning rate", "steps"]
    return Table(
        title="Generators of ChimeraMix+Seg, 50 per class: losses of the last epoch",
        header=[*what, *losses, "runs"],
        rows=[
            [*map(Text, place), *(Text(f"{loss:.3g}") for loss in means[place]), Text(str(len(lines[place])))]
            for place in order
        ],
        caption="on the labelled images, unweighted, means over the runs; reconstruction: mean squared error in "
        "[-1, 1] of both images together; perceptual: Laplacian pyramids; adversarial and discriminator: 1 and 0 where "
        "the discriminator always wins, 0.25 and 0.5 where it can't tell",
    )


def _earlier(tested: Sequence[Result], before: Sequence[Result]) -> Table:
    """Methods that were tested with other settings before, with those and with the track's."""
    names = {REFERENCE, *(each.name for each in before)}
    chosen = [each for each in tested if each.name in names]
    chosen += [replace(each, variant=Label(f"{each.name}, earlier settings")) for each in before]
    (against,) = compare_all(chosen, REFERENCE)
    return against_table(against, "accuracy")
