"""Work and time of training steps: `python -m benchmarks.steps [--flops-only] [--json] [--device cuda]`.

The steps are the product's own, of the paper's ciFAIR-10 recipe. `gflop` is what torch's FlopCounterMode counts in one
step; `minimum_gflop` is what the losses need at least, from the counted work of each network's forward pass:

- a network that learns costs three forward passes (forward, gradients of weights, gradients of inputs), but its first
  convolution no gradient of the images;
- a network that only passes a gradient on costs two; one without gradients one;
- of the partners that a mixer draws for a batch, several for each image, each image of the subset is encoded once.
- kernels that are made of weights (harmonic ones) cost nothing, and neither do gradients in front of the first weights.

`floor_ms` is the time of the minimum at the rate of the fastest convolution of the networks' kind that was found on the
machine in the same process (3x3, 256 channels): what no step could be below.

Times are of the product's step as its loop takes it, with loader, augmentation, partners, masks, mixing and metrics,
and of a bare loop (`benchmarks.bare`) that repeats forward, backward and optimiser on one batch. Rounds alternate, so
that a machine's other work meets both alike; medians are reported.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bare import classifier_step, generator_step
from benchmarks.record import add_machine, machine_of, milliseconds, variant, words_of, write
from benchmarks.synthetic import parts_of, with_segments
from chimeramix.machine import Machine
from chimeramix.models.harmonic import HarmonicStem
from chimeramix.runs.assembly import Parts
from chimeramix.shares import images_of
from chimeramix.training.loop import steps_of
from chimeramix.training.metrics import EpochMeans
from chimeramix.types import Batch

STEPS = {
    # name: role, batch size, overrides
    "generator": ("generator", 64, ["+experiment=chimeramix_segmentation"]),
    "generator, published decoder": (
        "generator",
        64,
        ["+experiment=chimeramix_segmentation", "generator.decoder_blocks=discarded"],
    ),
    "generator, 4 images": ("generator", 64, ["+experiment=several/segmentation"]),
    "classifier, plain": ("classifier", 10, ["+experiment=baseline"]),
    "classifier, harmonic": ("classifier", 10, ["+experiment=baseline", "model=harmonic_wideresnet_16_8"]),
    "classifier, mixing": ("classifier", 10, ["+experiment=chimeramix_segmentation", "mixer.probability=1"]),
    "classifier, mixing 4 images": ("classifier", 10, ["+experiment=several/segmentation", "mixer.probability=1"]),
}
COUNTED = 2  # images, or groups, in a counted step, and one more: what does not grow with them is done once a step


def flops(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


@torch.no_grad()
def _forward(network: nn.Module, *shape: int) -> float:
    """FLOPs of a forward pass per image."""
    images = torch.zeros(1, *shape, device=next(network.parameters()).device)
    with parametrize.cached():
        network(images)  # makes its kernels
        return flops(lambda: network(images))


@torch.no_grad()
def _first_convolution(network: nn.Module, *shape: int) -> float:
    """Those of the first convolution with weights alone, and twice those in front of it, which is without gradients."""
    found = []
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    hook = first.register_forward_hook(lambda module, inputs, output: found.append((inputs[0], output)))
    network(torch.zeros(1, *shape, device=first.weight.device))
    hook.remove()
    inputs, _ = found[0]
    stem = next((module for module in network.modules() if isinstance(module, HarmonicStem)), None)
    in_front = 0.0 if stem is None else flops(lambda: stem(torch.zeros(1, *shape))) - flops(lambda: first(inputs))
    return flops(lambda: first(inputs)) + 2 * in_front


def minimum_flops(name: str, parts: Parts, encoded: float = 2) -> float:
    """Per image, or group, of the step.

    Args:
        encoded: images that a mixer encodes for each image of the batch.
    """
    training: Any = parts.training
    if name.startswith("generator"):
        generator = training.generator
        image = (3, generator.image_size, generator.image_size)
        features = generator.network.encode(torch.zeros(1, *image)).shape[1:]
        encode = _forward(generator.network.encoder, *image)
        decode = _forward(generator.network.decoder, *features)
        judge = _forward(generator.discriminator, *image)
        images = images_of(generator.mask)
        learns = images * (3 * encode - _first_convolution(generator.network.encoder, *image))
        learns += (images + 1) * 3 * decode
        passes_on = 2 * judge
        discriminator = 2 * (3 * judge - _first_convolution(generator.discriminator, *image))
        return learns + passes_on + discriminator
    image = parts.views.subset.images.shape[1:]
    model = training.model
    least = 3 * _forward(model, *image) - _first_convolution(model, *image)
    if name.startswith("classifier, mixing"):
        network = training.mixer.generator
        enlarged = (3, network.image_size, network.image_size)
        features = network.encode(torch.zeros(1, *enlarged)).shape[1:]
        least += encoded * _forward(network.encoder, *enlarged) + _forward(network.decoder, *features)
    return least


def convolution_rate(machine: Machine) -> float:
    """GFLOP/s of a 3x3 convolution of 256 channels in the machine's precision, forward, the best of ten."""
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(machine.device).to(memory_format=torch.channels_last)
    images = torch.randn(64, 256, 32, 32, device=machine.device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def convolve() -> None:
        with machine.autocast():
            layer(images)

    work = flops(convolve)
    repeats = 50 if machine.device.type == "cuda" else 3
    return work / min(milliseconds(convolve, repeats, machine.device) for _ in range(10)) / 1e6


def batch_of(parts: Parts, size: int) -> Batch:
    index = torch.arange(size, device=parts.views.subset.images.device) % len(parts.views.subset)
    return parts.views(index)


def work(name: str, folder: Path) -> dict[str, float]:
    """`gflop` and `minimum_gflop` of a step, on the CPU."""
    role, size, overrides = STEPS[name]
    machine = Machine.choose("cpu", "fp32")
    parts = with_segments(parts_of(role, machine, folder, *overrides), machine)
    training: Any = parts.training
    if name != "classifier, mixing 4 images":
        batches = [batch_of(parts, images) for images in (COUNTED, COUNTED + 1)]
        fewer, more = (flops(lambda batch=batch: training.step(batch)) for batch in batches)  # type: ignore[misc]
        return _rounded(fewer + (size - COUNTED) * (more - fewer), size * minimum_flops(name, parts))
    # How many different partners a batch has does not grow with its size: it is counted as large as it is.
    partners, drawn, batch = training.mixer.partners, [], batch_of(parts, size)
    index = partners.index
    with mock.patch.object(partners, "index", lambda *asked: drawn.append(index(*asked)) or drawn[0]):
        counted = flops(lambda: training.step(batch))
    return _rounded(counted, size * minimum_flops(name, parts, 1 + len(drawn[0].unique()) / size))


def _rounded(counted: float, least: float) -> dict[str, float]:
    return {"gflop": round(counted / 1e9, 1), "minimum_gflop": round(least / 1e9, 1)}


def product_step(parts: Parts, machine: Machine) -> Callable[[], None]:
    """Takes the next batch, over the epochs' ends, and trains on it, as `chimeramix.training.loop.fit` does."""
    training = parts.training
    take = steps_of(training, EpochMeans(machine.device), parts.streams, machine)
    positions = chain.from_iterable(training.loader.positions() for _ in count())

    def step() -> None:
        index, labelled = next(positions)
        take(index, labelled)
        training.advance(len(index))

    return step


def step_milliseconds(parts: Parts, machine: Machine, repeats: int) -> float:
    """Of the product's step, once it is set up and, where that is wanted, recorded."""
    step = product_step(parts, machine)
    with machine.own_stream():
        milliseconds(step, 21 if machine.device.type == "cuda" else 1, machine.device)
        return milliseconds(step, repeats, machine.device)


def bare_step(name: str, parts: Parts, machine: Machine) -> Callable[[], None]:
    training: Any = parts.training
    size = STEPS[name][1]
    images = images_of(
        training.generator.mask if name.startswith("generator") else getattr(training.mixer, "mask", None)
    )
    first, partner = batch_of(parts, size), batch_of(parts, (images - 1) * size)
    if name.startswith("generator"):
        return generator_step(parts, first, partner, machine)
    return classifier_step(parts, first, partner if "mixing" in name else None, machine)


def times(name: str, folder: Path, machine: Machine, plain: Machine, rounds: int) -> dict[str, float]:
    """Medians in ms of the product's step and of the bare loop's on a machine that neither compiles nor records, and
    the ratio of their times round by round."""
    role, _, overrides = STEPS[name]
    product, bare = (with_segments(parts_of(role, one, folder, *overrides), one) for one in (machine, plain))
    calls = product_step(product, machine), bare_step(name, bare, plain)
    repeats = 50 if machine.device.type == "cuda" else 5 if role == "classifier" else 1
    with machine.own_stream():
        measured = [[milliseconds(call, repeats, machine.device) for call in calls] for _ in range(rounds + 1)][1:]
    ours, theirs = zip(*measured, strict=True)
    return {
        "product_ms": round(statistics.median(ours), 2),
        "bare_ms": round(statistics.median(theirs), 2),
        "ratio": round(statistics.median(ms / other for ms, other in measured), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flops-only", action="store_true", help="count, measure no time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_machine(parser)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    machine = machine_of(options)
    plain = replace(machine, compile=False)
    rows: dict[str, dict[str, float]] = {}
    rate = 0.0 if options.flops_only else convolution_rate(machine)
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, size, _) in STEPS.items():
            rows[name] = {"batch": size, **work(name, Path(folder))}
            if not options.flops_only:
                floor = {"floor_ms": round(1000 * rows[name]["minimum_gflop"] / rate, 2)}
                rows[name] |= times(name, Path(folder), machine, plain, options.rounds) | floor
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for name, row in rows.items():
            line = f"{name:28} batch {row['batch']:2}: {row['gflop']:7.1f} GFLOP, at least {row['minimum_gflop']:7.1f}"
            if "ratio" in row:
                line += f"; {row['product_ms']:8.1f} ms, bare {row['bare_ms']:8.1f} ms, ratio {row['ratio']:.3f}"
                line += f", floor {row['floor_ms']:8.1f} ms"
            print(line)
    if not options.flops_only:
        command = f"python -m benchmarks.steps {words_of(options)} --rounds {options.rounds}"
        path = write(
            f"steps-{variant(options)}", machine.device, {"command": command, "gflop_per_s": round(rate), "steps": rows}
        )
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
