"""Writes the tables and plots of docs/results.md and README.md: `python -m tools.results [FOLDER=RUNS ...]`.

They come from the records below results/, whose folders `chimeramix report` reads like any folder of runs; what is in
which: `tools.results_tables.blocks_of`. With `FOLDER=RUNS`, the records of the finished runs of RUNS are taken into
results/FOLDER before, and its searches into results/searches. A table stands between
`<!-- results: NAME -->` and `<!-- end -->`; what is outside of these is written by hand.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from chimeramix.files import read_json_lines
from chimeramix.report.against import compare_all, draw_against
from chimeramix.report.plots import plots_folder
from chimeramix.report.results import summarise
from chimeramix.report.store import read_store
from chimeramix.runs.record import evaluated_part, find_runs, read_record
from tools.results_tables import REFERENCE, blocks_of

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results"
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")
PLOTS = ROOT / "docs" / "results"

_BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def take_in(runs: Path, target: Path) -> int:
    """Copies the records of the finished runs of a folder: no weights, no pictures, and no paths of the machine.
    Of runs on held-out images the predictions come along, which are small: `chimeramix report --ensemble` reads them.

    Returns:
        Their number.
    """
    count = 0
    for role in ("classifier", "generator"):
        for run in find_runs(runs / role):
            record = read_record(run.path)
            if record is None:
                continue
            folder = target / role / run.path.name
            folder.mkdir(parents=True, exist_ok=True)
            for name, lines in (
                ("result.json", [record.result]),
                ("spec.json", [record.spec]),
                ("metrics.jsonl", read_json_lines(run.path / "metrics.jsonl")),
            ):
                text = "".join(json.dumps(line) + "\n" for line in lines)
                (folder / name).write_text(text, encoding="utf-8")
            if evaluated_part(record.result) == "validation":
                shutil.copyfile(run.path / "predictions.npz", folder / "predictions.npz")
            count += 1
    return count


def take_in_searches(runs: Path, target: Path) -> int:
    """Copies `tuning.json` of the searches of a folder, without the command, which names folders.

    Returns:
        Their number.
    """
    count = 0
    for path in (runs / "tuning").glob("*/tuning.json"):
        study = json.loads(path.read_text(encoding="utf-8"))
        if study["trials"]:
            del study["command"]
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{path.parent.name}.json").write_text(json.dumps(study) + "\n", encoding="utf-8")
            count += 1
    return count


def with_tables(page: str, blocks: dict[str, str]) -> str:
    """A page with its blocks written anew."""
    return _BLOCK.sub(lambda found: found[1] + blocks[found[2]] + found[3], page)


def main(words: Sequence[str]) -> None:
    """Takes in, then writes."""
    for word in words:
        folder, _, runs = word.partition("=")
        if not Path(runs).is_dir() or not runs:
            sys.exit(f"{word}: must be FOLDER=RUNS, with a folder of runs")
        found, searches = take_in(Path(runs), RECORDS / folder), take_in_searches(Path(runs), RECORDS / "searches")
        print(f"{word}: {found} finished runs, {searches} searches")
    blocks = blocks_of(RECORDS)
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
        print(page)
    tested = [result for result in summarise(read_store(RECORDS / "small")) if result.part == "test"]
    with plots_folder(PLOTS):
        for each in compare_all(tested, REFERENCE):
            for path in draw_against(each, PLOTS, "accuracy"):
                print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
