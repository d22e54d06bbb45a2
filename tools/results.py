"""Writes the tables and plots of docs/results.md and README.md: `python -m tools.results [RUNS ...]`.

They come from the records below results/small/, which `chimeramix report results/small` reads like any folder of runs.
With folders of runs, the records of the finished ones among them are taken in before. A table stands between
`<!-- results: NAME -->` and `<!-- end -->`; what is outside of these is written by hand.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from chimeramix.files import read_json_lines
from chimeramix.report.against import Against, against_table, compare_all, draw_against
from chimeramix.report.effort import effort_tables
from chimeramix.report.papers import paper_figures
from chimeramix.report.plots import plots_folder
from chimeramix.report.render import markdown
from chimeramix.report.results import summarise
from chimeramix.report.store import Store, read_store
from chimeramix.report.tables import difference_cells, in_order, results_tables
from chimeramix.runs.record import find_runs, read_record
from chimeramix.runs.spec import size_name
from chimeramix.terminal import Table, Text

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "small"
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")
PLOTS = ROOT / "docs" / "results"
REFERENCE = "Baseline"
PAPER = ("cifair10", "wideresnet_16_8")  # what the paper's figures are of
FIRST_SCREEN = (REFERENCE, "MixUp", "ChimeraMix+Grid", "ChimeraMix+Seg")

_BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def take_in(runs: Path) -> int:
    """Copies the records of the finished runs of a folder: no weights, no pictures, and no paths of the machine.

    Returns:
        Their number.
    """
    count = 0
    for role in ("classifier", "generator"):
        for run in find_runs(runs / role):
            record = read_record(run.path)
            if record is None:
                continue
            folder = RECORDS / role / run.path.name
            folder.mkdir(parents=True, exist_ok=True)
            for name, lines in (
                ("result.json", [record.result]),
                ("spec.json", [record.spec]),
                ("metrics.jsonl", read_json_lines(run.path / "metrics.jsonl")),
            ):
                text = "".join(json.dumps(line) + "\n" for line in lines)
                (folder / name).write_text(text, encoding="utf-8")
            count += 1
    return count


def blocks_of(store: Store) -> dict[str, str]:
    """The tables of the pages, by name."""
    results = summarise(store)
    tested = [result for result in results if result.part == "test"]
    held_out = [result for result in results if result.part == "validation"]
    first = [result for result in tested if result.method in FIRST_SCREEN]
    beside = compare_all(tested, REFERENCE)
    found = {
        "first": results_tables(first, "accuracy"),
        "table": [against_table(each, "accuracy") for each in beside],
        "claims": [_claims(each) for each in beside],
        "effort": effort_tables(tested, store.generators),
        "validation": results_tables(held_out, "accuracy"),
        "generators": [_generators(store)],
    }
    return {name: "\n".join(map(markdown, tables)) for name, tables in found.items()}


def _claims(against: Against) -> Table:
    """The paper's differences to its baseline beside ours, where it has the method and the number of samples."""
    figures = paper_figures()
    rows = []
    for method in in_order(against.results):
        for size in against.sizes:
            ours = against.comparisons.get((method, size))
            model = "scattering" if method.startswith("Scattering") else PAPER[1]
            papers = figures.get((PAPER[0], model, method.partition(",")[0], size))
            if ours is not None and papers is not None:
                difference = papers.mean - figures[(*PAPER, REFERENCE, size)].mean
                cells = difference_cells(ours.difference, ours.half_width)
                rows.append(
                    [Text(method), Text(size_name(size)), Text(f"{difference:+.2f}"), *cells, Text(str(ours.pairs))]
                )
    return Table(
        title=f"Difference to {REFERENCE} in percentage points",
        header=["method", "per class", "in the paper", "here", "95 % interval", "splits"],
        rows=rows,
        caption="in the paper: ChimeraMix, Tables 1, 3 and 4, ciFAIR-10, WRN-16-8, 100,000 steps",
    )


def _generators(store: Store) -> Table:
    """What ChimeraMix generators reach on their labelled images in the last epoch, 50 a class."""
    runs = defaultdict(list)
    for folder in store.generators.values():
        record = read_record(folder)
        if record is None or (record.result["method"], record.result["max_labels_per_class"]) != ("ChimeraMix+Seg", 50):
            continue
        generator = record.spec["generator"]
        schedule = generator["schedule"]["_target_"].rpartition(".")[2]
        keys = ("image_size", "features", "batch_size", "decoder_blocks")
        settings = (*(generator[key] for key in keys), generator["discriminator"]["features"], schedule)
        runs[(*settings, generator["optimizer"]["lr"], record.result["steps"])].append(
            read_json_lines(folder / "metrics.jsonl")[-1]
        )
    losses = ("reconstruction", "perceptual", "adversarial", "discriminator")
    rows = [
        [str(value).lower() for value in settings]
        + [f"{fmean(last[loss] for last in found):.3g}" for loss in losses]
        + [str(len(found))]
        for settings, found in sorted(runs.items(), key=lambda item: -fmean(last["reconstruction"] for last in item[1]))
    ]
    what = ["size", "features", "batch", "decoder blocks", "D's features", "schedule", "lr", "steps"]
    return Table(
        title="Generators of ChimeraMix+Seg, 50 images a class: losses of the last epoch",
        header=[*what, *losses, "splits"],
        rows=[[Text(cell) for cell in row] for row in rows],
        caption="unweighted, means over the splits; reconstruction: mean squared error in [-1, 1], summed over the two "
        "images; adversarial and discriminator: 1 and 0 where the discriminator always wins, 0.25 and 0.5 where it "
        "can't tell",
    )


def with_tables(page: str, blocks: dict[str, str]) -> str:
    """A page with its blocks written anew."""
    return _BLOCK.sub(lambda found: found[1] + blocks[found[2]] + found[3], page)


def main(folders: Sequence[str]) -> None:
    """Takes in, then writes."""
    for folder in folders:
        print(f"{folder}: {take_in(Path(folder))} finished runs")
    store = read_store(RECORDS)
    blocks = blocks_of(store)
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
        print(page)
    tested = [result for result in summarise(store) if result.part == "test"]
    with plots_folder(PLOTS):
        for each in compare_all(tested, REFERENCE):
            for path in draw_against(each, PLOTS, "accuracy"):
                print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
