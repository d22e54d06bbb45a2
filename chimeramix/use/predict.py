"""`chimeramix predict`: the classes of any images, by one finished run or by several together."""

import csv
import io
import logging
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from tqdm import tqdm

from chimeramix.data.image_file import Reading, decode
from chimeramix.data.views import Normalize
from chimeramix.errors import RunFailure, UserError
from chimeramix.files import json_text, write_atomically
from chimeramix.machine import Machine, memory_errors
from chimeramix.runs.classifier import Classifier, is_exported, load_classifier, machine_of
from chimeramix.terminal import Table, Text, counted, print_table
from chimeramix.training.evaluation import batch_size_on
from chimeramix.use.images import find_images
from chimeramix.use.options import PredictOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """Of one image.

    Attributes:
        file: its path.
        classes: the most probable ones, the most probable first.
        probabilities: of these.
    """

    file: Path
    classes: Sequence[str]
    probabilities: Sequence[float]


@dataclass(frozen=True)
class _Member:
    """A classifier on its device."""

    classifier: Classifier
    machine: Machine
    normalize: Normalize

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """`[B, K]` float64 on the CPU, of `[B, 3, S, S]` uint8 there; as the run's evaluation computed them."""
        self.machine.make_reproducible()
        pixels = self.normalize(images.to(self.machine.device))
        with parametrize.cached(), self.machine.autocast():
            logits = self.classifier(pixels)
        return logits.double().softmax(1).cpu()


def predict(options: PredictOptions) -> None:
    """Prints or writes the classes of images.

    Raises:
        UserError: for what is no run, for runs of different classes, and for paths without images.
        RunFailure: at the end, where images could not be read; the others are classified.
    """
    options.check()
    runs, words = _runs_and_paths(options.paths)
    files = find_images(words)
    members = _ensemble(runs, options.device)
    classes = members[0].classifier.classes
    top = min(options.top, len(classes))
    found, damaged = [], 0
    with memory_errors():
        for file, probabilities in _classify(members, files, options.workers):
            if probabilities is None:
                damaged += 1
                continue
            highest = probabilities.topk(top)
            names = [classes[label] for label in highest.indices.tolist()]
            found.append(Prediction(file, names, highest.values.tolist()))
    _show(found, options.form, options.out)
    if damaged:
        raise RunFailure(f"{damaged} of {counted(len(files), 'image')} could not be read, and {_are(damaged)} left out")


def _runs_and_paths(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The first word is a run, and so are those after it that hold one; what is left are images."""
    runs = [Path(words[0])]
    for word in words[1:]:
        if not _is_run(Path(word)):
            break
        runs.append(Path(word))
    paths = list(words[len(runs) :])
    if not paths:
        if len(runs) == 1 and not _is_run(runs[0]):
            raise UserError(f"{runs[0]}: name the folder of a finished classifier first, then images")
        raise UserError("no images are named: chimeramix predict RUN PATH ...")
    for word in paths:
        if _is_run(Path(word)):
            raise UserError(f"{word} is a run: name all runs before the images")
    return runs, paths


def _is_run(folder: Path) -> bool:
    return (folder / "result.json").is_file() or is_exported(folder)


def _ensemble(runs: Sequence[Path], device: str) -> list[_Member]:
    members: list[_Member] = []
    for run in runs:
        classifier = load_classifier(run)
        if members and classifier.classes != members[0].classifier.classes:
            raise UserError(f"{run} and {runs[0]} have different classes, or another order of them: no ensemble")
        machine, note = machine_of(classifier, device)
        if note:
            log.warning("%s: %s", run, note)
        network = classifier.to(machine.device).to(memory_format=machine.memory_format)
        members.append(_Member(network, machine, classifier.normalizer(machine.device)))
    return members


def _classify(members: Sequence[_Member], files: Sequence[Path], workers: int) -> Iterator[tuple[Path, Tensor | None]]:
    """The mean probability `[K]` of each file's classes, None for one that can't be read, in their order."""
    readings = {member.classifier.blueprint.reading for member in members}
    size = batch_size_on(members[0].machine.device)
    bar = tqdm(total=len(files), desc="images", unit="image", leave=False, disable=not sys.stderr.isatty())
    with bar, ThreadPoolExecutor(workers) as pool:
        images = _decoded(pool, files, readings, size)
        while batch := list(islice(images, size)):
            whole = [squares for _, squares in batch if squares is not None]
            mean = iter(())
            if whole:
                stacked = {reading: torch.stack([squares[reading] for squares in whole]) for reading in readings}
                each = [member.probabilities(stacked[member.classifier.blueprint.reading]) for member in members]
                mean = iter(torch.stack(each).mean(0))
            for file, squares in batch:
                yield file, None if squares is None else next(mean)
            bar.update(len(batch))


Squares = dict[Reading, Tensor]


def _decoded(
    pool: ThreadPoolExecutor, files: Sequence[Path], readings: Iterable[Reading], ahead: int
) -> Iterator[tuple[Path, Squares | None]]:
    """Each file's squares, by reading; at most a batch is decoded ahead of what was asked for."""

    def squares(file: Path) -> Squares:
        image = decode(file)
        return {reading: reading(image) for reading in readings}

    waiting: deque[tuple[Path, Future[Squares]]] = deque()
    rest = iter(files)
    while True:
        for file in rest:
            waiting.append((file, pool.submit(squares, file)))
            if len(waiting) > ahead:
                break
        if not waiting:
            return
        file, future = waiting.popleft()
        try:
            yield file, future.result()
        except UserError as error:
            log.warning("left out: %s", error)
            yield file, None


def _show(found: Sequence[Prediction], form: str, out: Path | None) -> None:
    if form == "terminal" and out is None:
        if found:
            print_table(_table(found))
        return
    text = _as_jsonl(found) if form == "jsonl" else _as_csv(found)
    if out is None:
        print(text, end="")
        return
    # A CSV file has a name's bytes as they are, also where they are no UTF-8.
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8", errors="surrogateescape"))
    log.info("written: %s (%s)", out, counted(len(found), "image"))


def _names(top: int) -> list[str]:
    """`class`, `probability`, `class_2`, `probability_2`, ..."""
    return [f"{name}_{rank}" if rank > 1 else name for rank in range(1, top + 1) for name in ("class", "probability")]


def _as_csv(found: Sequence[Prediction]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", *_names(len(found[0].classes) if found else 1)])
    for each in found:
        pairs = zip(each.classes, each.probabilities, strict=True)
        table.writerow([each.file, *(value for name, share in pairs for value in (name, f"{share:.6f}"))])
    return text.getvalue()


def _as_jsonl(found: Sequence[Prediction]) -> str:
    lines = []
    for each in found:
        pairs = zip(each.classes, each.probabilities, strict=True)
        top = [{"class": name, "probability": round(share, 6)} for name, share in pairs]
        lines.append(json_text({"file": str(each.file), **top[0], "top": top}) + "\n")
    return "".join(lines)


def _table(found: Sequence[Prediction]) -> Table:
    top = len(found[0].classes)
    header = ["image", *(name for rank in range(top) for name in (f"{_ordinal(rank)}class", "%"))]
    rows = []
    for each in found:
        pairs = zip(each.classes, each.probabilities, strict=True)
        cells = [cell for name, share in pairs for cell in (Text(name), Text(f"{100 * share:.1f}"))]
        rows.append([Text(str(each.file)), *cells])
    return Table(title=counted(len(found), "image"), header=header, rows=rows)


def _ordinal(rank: int) -> str:
    return "" if rank == 0 else f"{rank + 1}. "


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
