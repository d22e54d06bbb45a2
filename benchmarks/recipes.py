"""Whole trainings by the papers' recipes, in time and memory: `python -m benchmarks.recipes [--device cuda] [...]`.

For each data set and method, at five images per class, of generator and classifier: milliseconds per step as the loop
takes it, seconds per evaluation of the whole test set, the whole training from these, and the peak of memory: on a
GPU what PyTorch took there, on a CPU the process' resident memory (in which Python and PyTorch have about 0.4 GB).
Images are noise of the data set's shape, which costs what pictures cost. `--whole` trains to the end, evaluations and
checkpoints included, and reports the time that this took. Every measurement is made in a process of its own.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import add_machine, in_own_process, machine_of, peak_memory, variant, words_of, write
from benchmarks.steps import step_milliseconds
from benchmarks.synthetic import Noise, parts_of, with_segments
from chimeramix.machine import Machine
from chimeramix.runs.assembly import Parts
from chimeramix.training.loop import fit
from chimeramix.training.tracking import Tracker

SHAPES = {"cifair10": (10, 32, 10_000), "cifair100": (100, 32, 10_000), "stl10": (10, 96, 8_000)}
"""Classes, side in pixels, test images."""
METHODS = {  # experiment: roles
    "chimeramix_segmentation": ("generator", "classifier"),
    "chimeramix_grid": ("generator", "classifier"),
    "glico": ("generator", "classifier"),
    "miamix": ("classifier",),
    "baseline": ("classifier",),
}
EVALUATED_ON_CPU = 500  # images; the time is proportional to their number


def made(role: str, dataset: str, experiment: str, machine: Machine, folder: Path, test: int) -> Parts:
    classes, side, _ = SHAPES[dataset]
    source = Noise(classes, 5, side, test)
    words = [f"+experiment={experiment}"]
    if experiment == "glico":
        words.append(f"generator.image_size={side}")
    return with_segments(parts_of(role, machine, folder, *words, source=source, dataset=dataset), machine)


def measure(role: str, dataset: str, experiment: str, options: argparse.Namespace) -> dict[str, Any]:
    machine = machine_of(options)
    on_gpu = machine.device.type == "cuda"
    test = SHAPES[dataset][2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = made(role, dataset, experiment, machine, folder, test if on_gpu else EVALUATED_ON_CPU)
        training: Any = parts.training
        total = training.epochs * len(training.loader)
        row: dict[str, Any] = {"steps": total}
        if options.whole:
            start = time.perf_counter()
            last = fit(training, parts.streams, folder, "benchmark", machine, Tracker(), checkpoint_seconds=120)
            row["seconds"] = round(time.perf_counter() - start, 1)
            row["step_ms"] = round(1000 * last["seconds"] / total, 3)
        else:
            # Every other step of a classifier mixes, by a coin: more of them are needed.
            repeats = options.steps * (5 if role == "classifier" else 1)
            row["step_ms"] = round(step_milliseconds(parts, machine, repeats), 3)
            row["seconds"] = round(total * row["step_ms"] / 1000)
            if role == "classifier":
                training.evaluator(training.model)  # set-up
                start = time.perf_counter()
                training.evaluator(training.model)  # reads its figures back, thus waits for the device
                share = 1 if on_gpu else test / EVALUATED_ON_CPU
                row["evaluation_seconds"] = round(share * (time.perf_counter() - start), 2)
                row["seconds"] += round(training.epochs // 10 * row["evaluation_seconds"])
    return row | {"peak_gb": round(peak_memory(machine.device), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_machine(parser)
    parser.add_argument("--datasets", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument(
        "--steps",
        type=int,
        default=None,
        help="of a generator, five times as many of a classifier; default: 200 on a GPU, 3 on a CPU",
    )
    parser.add_argument("--whole", action="store_true", help="train to the end")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps or (200 if options.device.startswith("cuda") else 3)
    if options.one:
        print(json.dumps(measure(*options.one, options)))
        return
    rows: dict[str, dict[str, Any]] = {}
    for dataset in options.datasets:
        for experiment in options.methods:
            for role in METHODS[experiment]:
                words = [*words_of(options).split(), "--steps", str(options.steps)]
                words += [*(["--whole"] if options.whole else []), "--one", role, dataset, experiment]
                name = f"{dataset}, {experiment}, {role}"
                rows[name] = in_own_process("benchmarks.recipes", *words)
                print(f"{name:50} {rows[name]}", flush=True)
    command = f"python -m benchmarks.recipes {words_of(options)} --steps {options.steps}"
    command += " --whole" if options.whole else ""
    if options.datasets != list(SHAPES) or options.methods != list(METHODS):
        command += f" --datasets {' '.join(options.datasets)} --methods {' '.join(options.methods)}"
    name = f"recipes-{variant(options)}{'-whole' if options.whole else ''}"
    result = {"command": command, "recipes": rows}
    print(write(name, torch.device(options.device), result))


if __name__ == "__main__":
    main()
