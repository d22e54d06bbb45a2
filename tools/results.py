"""Writes the tables and plots of docs/results.md and README.md: `python -m tools.results [RUNS ...]`.

They come from the records below results/small/, which `chimeramix report results/small` reads like any folder of runs.
With folders of runs, the records of the finished ones among them are taken in before. A table stands between
`<!-- results: NAME -->` and `<!-- end -->`; what is outside of these is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from chimeramix.files import read_json_lines
from chimeramix.report.against import against_table, compare_all, draw_against
from chimeramix.report.effort import effort_tables
from chimeramix.report.render import markdown
from chimeramix.report.results import Result, summarise
from chimeramix.report.store import Store, read_store
from chimeramix.report.tables import results_tables
from chimeramix.report.where import choose
from chimeramix.runs.record import find_runs, read_record
from chimeramix.terminal import Table

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "small"
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")
PLOTS = ROOT / "docs" / "results"
REFERENCE = "Baseline"
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
            (folder / "result.json").write_text(json.dumps(record.result) + "\n", encoding="utf-8")
            (folder / "spec.json").write_text(json.dumps(record.spec) + "\n", encoding="utf-8")
            lines = [json.dumps(line) + "\n" for line in read_json_lines(run.path / "metrics.jsonl")]
            (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
            count += 1
    return count


def tables(store: Store) -> dict[str, Callable[[], str]]:
    """The blocks of the pages, by name."""
    tested = choose(store, ["part=test"])
    held_out = choose(store, ["part=validation"])
    return {
        "table": lambda: _shown(_against(tested)),
        "effort": lambda: _shown(effort_tables(summarise(tested), store.generators)),
        "validation": lambda: _shown(results_tables(summarise(held_out), "accuracy")),
        "first": lambda: _first_screen(summarise(tested)),
    }


def _against(store: Store) -> list[Table]:
    return [against_table(each, "accuracy") for each in compare_all(summarise(store), REFERENCE)]


def _shown(found: Sequence[Table]) -> str:
    return "\n".join(map(markdown, found))


def _first_screen(results: list[Result]) -> str:
    """Some rows of the table, without intervals."""
    (table,) = compare_all([each for each in results if each.method in FIRST_SCREEN], REFERENCE)
    shown = against_table(table, "accuracy")
    kept = [place for place, name in enumerate(shown.header) if name not in ("difference", "95 % interval")]
    rows = [[row[place] for place in kept] for row in shown.rows]
    return markdown(Table("", [shown.header[place] for place in kept], rows, "")).strip() + "\n"


def with_tables(page: str, blocks: dict[str, Callable[[], str]]) -> str:
    """A page with its blocks written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]()}{found[3]}", page)


def main(folders: Sequence[str]) -> None:
    """Takes in, then writes."""
    for folder in folders:
        print(f"{folder}: {take_in(Path(folder))} finished runs")
    store = read_store(RECORDS)
    blocks = tables(store)
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
        print(page)
    for each in compare_all(summarise(choose(store, ["part=test"])), REFERENCE):
        for path in draw_against(each, PLOTS, "accuracy"):
            print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
