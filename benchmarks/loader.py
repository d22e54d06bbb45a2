"""How fast batches are made: `python -m benchmarks.loader [--device cuda] [--batch 64]`.

A pair is what a step of ChimeraMix needs: a view of an image and one of a same-class partner, cropped, flipped and
normalised, with their superpixels where the mask takes some, and the mask. One process, no workers; superpixels were
computed before. Images are noise of ciFAIR-10's shape, five a class; the generator's are enlarged to 64 pixels.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import machine_of, milliseconds, write
from benchmarks.synthetic import parts_of, with_segments
from chimeramix.data.views import SameClassPartners
from chimeramix.machine import Machine
from chimeramix.runs.assembly import Parts
from chimeramix.streams import RandomStream
from chimeramix.training.generator import GeneratorTraining

# Pairs per second of the published loaders, the better of 0 and 2 worker processes, on 2 cores of another machine.
PUBLISHED = {"generator, grid": 3520, "generator, seg": 485, "classifier, grid": 3497, "classifier, seg": 1053}


def pairs(parts: Parts, batch: int, machine: Machine) -> Callable[[], object]:
    """Makes what a step needs for so many random images."""
    views = parts.views
    training: Any = parts.training
    mask = training.generator.mask if isinstance(training, GeneratorTraining) else training.mixer.mask
    partners, rng = SameClassPartners(views, RandomStream(0, machine.device)), RandomStream(1, machine.device)
    positions = max(views.subset.images.shape[-1], 64) // 4  # of the generator's features

    def make() -> Any:
        first = views(rng.integers(len(views.subset), batch))
        return mask(first, partners(first, include_self=True), positions, rng)

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, nargs="+", default=[10, 64, 512])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    options.precision, options.compile = "fp32", "false"
    machine = machine_of(options)
    rows: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for role in ("generator", "classifier"):
            for short, experiment in (("grid", "chimeramix_grid"), ("seg", "chimeramix_segmentation")):
                parts = with_segments(parts_of(role, machine, Path(folder), f"+experiment={experiment}"), machine)
                row = {}
                for batch in options.batch:
                    make = pairs(parts, batch, machine)
                    milliseconds(make, 5, machine.device)
                    times = [milliseconds(make, 20, machine.device) for _ in range(options.rounds)]
                    row[f"batch {batch}"] = round(batch / statistics.median(times) * 1000)
                rows[f"{role}, {short}"] = row
                published = PUBLISHED[f"{role}, {short}"]
                print(f"{role}, {short:5} {row} pairs/s; published code, elsewhere: {published}")
    batches = " ".join(map(str, options.batch))
    command = f"python -m benchmarks.loader --device {options.device} --batch {batches} --rounds {options.rounds}"
    print(write("loader", machine.device, {"command": command, "pairs_per_second": rows}))


if __name__ == "__main__":
    main()
