"""How time and memory grow with the data: `python -m benchmarks.scaling [--device cuda] [...]`.

From ciFAIR-10's shape (10 classes, 32 pixels, 5 images a class) one number grows at a time, up to a data set as large
as Tiny-ImageNet (200 classes, 500 images of 64 x 64 each). For each: seconds from the images in memory to a training
that is ready, ms to make a batch for the generator and for the classifier (views, partners, masks), ms of the
classifier's whole step (WRN-16-8, batch 10, MixUp), megabytes of images and superpixels that lie on the device, and the
peak of memory as in `benchmarks.recipes`. Images are noise. Superpixels, which are computed once and kept, are timed on
200 images of noise blurred to look like a picture's, in one process.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.loader import pairs
from benchmarks.record import (
    add_machine,
    in_own_process,
    machine_of,
    milliseconds,
    peak_memory,
    variant,
    words_of,
    write,
)
from benchmarks.steps import step_milliseconds
from benchmarks.synthetic import Noise, parts_of, with_segments
from chimeramix.data.segments import segment
from chimeramix.runs.assembly import Parts

SHAPES = {  # classes, images of each, side
    "ciFAIR-10, 5 a class": (10, 5, 32),
    "50 a class": (10, 50, 32),
    "500 a class": (10, 500, 32),
    "all 5,000 a class": (10, 5000, 32),
    "100 classes": (100, 5, 32),
    "200 classes": (200, 5, 32),
    "64 pixels": (10, 5, 64),
    "96 pixels": (10, 5, 96),
    "as Tiny-ImageNet": (200, 500, 64),
}


def resident(parts: Parts) -> int:
    """Bytes of images and superpixels on the device."""
    subset = parts.views.subset
    assert subset.segments is not None
    return subset.images.nbytes + subset.segments.nbytes


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    machine = machine_of(options)
    on_gpu = machine.device.type == "cuda"
    classes, per_class, side = SHAPES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = Noise(classes, per_class, side, test=500)
        start = time.perf_counter()
        parts = parts_of("classifier", machine, folder, "+experiment=mixup", source=source)
        row: dict[str, Any] = {"images": classes * per_class, "set_up_s": round(time.perf_counter() - start, 2)}
        row["step_ms"] = round(step_milliseconds(parts, machine, 200 if on_gpu else 4), 2)
        del parts
        for role, size in (("classifier", 10), ("generator", 64)):
            words = ["+experiment=chimeramix_segmentation", f"generator.image_size={max(side, 64)}"]
            parts = with_segments(parts_of(role, machine, folder, *words, source=source), machine)
            make = pairs(parts, size, machine)
            milliseconds(make, 50, machine.device)
            row[f"{role}_batch_ms"] = round(milliseconds(make, 50, machine.device), 3)
            row[f"{role}_resident_mb"] = round(resident(parts) / 1e6, 1)
        row["superpixels_ms_an_image"] = round(superpixels(max(side, 64)), 2)
        row["peak_gb"] = round(peak_memory(machine.device), 2)
    return row


def superpixels(side: int) -> float:
    """Milliseconds for an image of this side."""
    noise = torch.rand(200, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    images = (255 * F.interpolate(noise, size=(side, side), mode="bicubic").clamp(0, 1)).to(torch.uint8)
    start = time.perf_counter()
    segment(images, [0.5] * 3, [0.5] * 3, scale=60, sigma=0.8, min_size=60, cache_dir=None, workers=1)
    return (time.perf_counter() - start) / len(images) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_machine(parser)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options)))
        return
    rows = {}
    for name in SHAPES:
        rows[name] = in_own_process("benchmarks.scaling", *words_of(options).split(), "--one", name)
        print(f"{name:22} {rows[name]}", flush=True)
    result = {"command": f"python -m benchmarks.scaling {words_of(options)}", "shapes": rows}
    print(write(f"scaling-{variant(options)}", torch.device(options.device), result))


if __name__ == "__main__":
    main()
