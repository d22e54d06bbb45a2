"""The tables of docs/results.md that say how the track was chosen."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from chimeramix.files import read_json_lines
from chimeramix.report.against import against_table, compare_all
from chimeramix.report.labels import Label
from chimeramix.report.mixed_ensembles import put_together
from chimeramix.report.paired import half_width, paired
from chimeramix.report.predicted import Reader
from chimeramix.report.results import Result
from chimeramix.report.tables import ABSENT, difference_cells, mean_and_std, span, steps_of
from chimeramix.runs.record import find_runs, read_record
from chimeramix.runs.spec import size_name, size_order
from chimeramix.terminal import Table, Text

CHIMERA_LOSSES = {
    "reconstruction": "mean squared error in [-1, 1] of both images together",
    "perceptual": "Laplacian pyramids",
    "adversarial": "1 where the discriminator always wins, 0.25 where it can't tell",
    "discriminator": "0 where it always wins, 0.5 where it can't tell",
}
GLICO_LOSSES = {
    "pixels": "mean absolute difference in [0, 1]",
    "perceptual": "Laplacian pyramids",
    "classifier": "cross entropy of the weak classifier on the decoded images",
}


def steps_table(results: Sequence[Result]) -> Table:
    """A row for each number of samples per class and of steps, a column for each method."""
    scores = {
        (result.samples_per_class, steps_of(result)[0], result.name): mean_and_std(result.scores) for result in results
    }
    methods = sorted({name for *_, name in scores})
    return Table(
        title="Number of steps: validation accuracy in %",
        header=["per class", "steps", *methods],
        rows=[
            [Text(size_name(size)), Text(f"{steps:,}")]
            + [Text(scores.get((size, steps, name), ABSENT)) for name in methods]
            for size, steps in sorted(
                {place[:2] for place in scores}, key=lambda place: (size_order(place[0]), place[1])
            )
        ],
        caption=f"mean ± std over {span([len(result.runs) for result in results])} splits, 1,000 images each",
    )


def searches_table(files: Iterable[Path]) -> Table:
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
        caption="one run of 4,000 steps each, 1,000 images; bold: the best of its search",
    )


def generators_table(records: Path, method: str, losses: Mapping[str, str]) -> Table:
    """What the generators of a method reach on their labelled images in the last epoch, 50 a class.

    Args:
        losses: what each is, for the caption.
    """
    lines: dict[tuple[tuple[str, str], ...], list[list[float]]] = defaultdict(list)  # by header and cell
    for name in ("small", "earlier", "generators"):
        for run in find_runs(records / name / "generator"):
            record = read_record(run.path)
            if record is None or (record.result["method"], record.result["max_labels_per_class"]) != (method, 50):
                continue
            generator = record.spec["generator"]
            settings = {"images": "left-over images" if name == "generators" else "the table's splits"}
            if "features" in generator:
                settings |= {"image size": str(generator["image_size"]), "features": str(generator["features"])}
            settings |= {
                "batch": str(generator["batch_size"]),
                "schedule": generator["schedule"]["_target_"].rpartition(".")[2].lower(),
                "learning rate": str(generator["optimizer"]["lr"]),
                "steps": f"{record.result['steps']:,}",
            }
            last = read_json_lines(run.path / "metrics.jsonl")[-1]
            lines[tuple(settings.items())].append([record.result["seconds"], *(last[loss] for loss in losses)])
    means = {place: [fmean(values) for values in zip(*found, strict=True)] for place, found in lines.items()}
    return Table(
        title=f"Generators of {method}, 50 per class: losses of the last epoch",
        header=[*dict(next(iter(means))), "seconds", *losses, "runs"],
        rows=[
            [
                *(Text(cell) for _, cell in place),
                Text(f"{means[place][0]:,.0f}"),
                *(Text(f"{loss:.3g}") for loss in means[place][1:]),
                Text(str(len(lines[place]))),
            ]
            for place in sorted(means, key=lambda place: (place[0], -means[place][1]))
        ],
        caption="on the labelled images, unweighted, means over the runs; "
        + "; ".join(f"{name}: {text}" for name, text in losses.items()),
    )


def combinations_table(results: Sequence[Result], reference: str) -> Table:
    """A row for each combination of methods that has the reference's splits, a column for each choice of weights and
    views, which its runs measured at their end."""
    found = {result.plain_method: result for result in results}
    base = found[reference]
    first = next(iter(base.runs.values()))
    kinds = list(first.record["variants"])
    rows = []
    for name, result in sorted(found.items(), key=lambda item: item[1].mean):
        if not base.runs.keys() <= result.runs.keys():
            continue
        variants = [run.record["variants"] for run in result.runs.values()]
        cells = [mean_and_std([100 * each[kind]["accuracy"] for each in variants]) for kind in kinds]
        against = paired(result, base) if name != reference else None
        beside = [Text("")] * 2 if against is None else difference_cells(against.difference, against.half_width)
        rows.append([Text(name), *map(Text, cells), *beside])
    return Table(
        title="Combinations: validation accuracy in %, 50 per class",
        header=["method", *kinds, "difference", "95 % interval"],
        rows=rows,
        caption=f"mean ± std over {len(base.runs)} splits, 1,000 images each; differences are those of "
        f"{kinds[-1]} to {reference}, over the same splits, with Student's t intervals; bold: it excludes 0",
    )


def ensembles_table(results: Sequence[Result], members: Iterable[Sequence[str]], reference: str) -> Table:
    """A row for each ensemble whose members have all of the reference's splits.

    Args:
        members: methods, named without weights and views, of each ensemble.

    Raises:
        ValueError: predictions are damaged.
    """
    found = {result.plain_method: result for result in results}
    draws = sorted(found[reference].runs)
    damaged: dict[Path, str] = {}
    reader = Reader("ensembles", damaged)
    rows: list[tuple[float, list[Text]]] = []
    for names in members:
        chosen = [found[name] for name in names if name in found]
        scores = put_together(chosen, "accuracy", reader) if len(chosen) == len(names) else {}
        if not scores.keys() >= set(draws):
            continue
        together = [scores[draw][1] for draw in draws]
        alone = max(zip(*(scores[draw][0] for draw in draws), strict=True), key=fmean)
        gains = [score - own for score, own in zip(together, alone, strict=True)]
        cells = ["; ".join(names), mean_and_std(alone), mean_and_std(together)]
        rows.append((fmean(together), [*map(Text, cells), *difference_cells(fmean(gains), half_width(gains))]))
    if damaged:
        raise ValueError("; ".join(damaged.values()))
    return Table(
        title="Ensembles: validation accuracy in %, 50 per class",
        header=["members", "best member", "ensemble", "gain", "95 % interval"],
        rows=[row for _, row in sorted(rows, key=lambda each: each[0])],
        caption=f"mean ± std over {len(draws)} splits, 1,000 images each; mean of the members' probabilities; best "
        "member: by its mean; gain: of the ensemble over that member, on the same splits, with Student's t interval; "
        "bold: it excludes 0",
    )


def beside_table(
    tested: Sequence[Result], others: Sequence[Result], how: str, also: Iterable[str], reference: str
) -> Table:
    """Methods that were tested in another way, too, in that and in the track's, against one of them.

    Args:
        others: what was tested in that way.
        how: what names it, after a comma.
        also: methods that the table has beside these.
    """
    names = {*also, *(each.name for each in others)}
    chosen = [each for each in tested if each.name in names]
    chosen += [replace(each, variant=Label(f"{each.name}, {how}")) for each in others]
    (against,) = compare_all(chosen, reference)
    return against_table(against, "accuracy")
