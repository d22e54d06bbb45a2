"""Work and time of training steps: `python -m benchmarks.steps [--flops-only] [--json] [--device cuda]`.

The steps are the product's own, of the paper's ciFAIR-10 recipe. `gflop` is what torch's FlopCounterMode counts in one
step; `minimum_gflop` is what the losses need at least, from the counted work of each network's forward pass:

- a network that learns costs three forward passes (forward, gradients of weights, gradients of inputs), but its first
  convolution no gradient of the images;
- a network that only passes a gradient on costs two; one without gradients one.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.synthetic import parts_of, with_segments
from chimeramix.assembly import Parts
from chimeramix.machine import Machine
from chimeramix.types import Batch

STEPS = {
    # name: role, batch size, overrides
    "generator": ("generator", 64, ["+experiment=chimeramix_segmentation"]),
    "generator, published decoder": (
        "generator",
        64,
        ["+experiment=chimeramix_segmentation", "generator.decoder_blocks=discarded"],
    ),
    "classifier, plain": ("classifier", 10, ["+experiment=baseline"]),
    "classifier, mixing": ("classifier", 10, ["+experiment=chimeramix_segmentation", "mixer.probability=1"]),
}
COUNTED = 2  # images, or pairs, in a counted step: work is proportional to their number


def flops(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


@torch.no_grad()
def _forward(network: nn.Module, *shape: int) -> float:
    """FLOPs of a forward pass per image."""
    device = next(network.parameters()).device
    return flops(lambda: network(torch.zeros(1, *shape, device=device)))


@torch.no_grad()
def _first_convolution(network: nn.Module, *shape: int) -> float:
    """Those of the first convolution alone, which is the first to see the images."""
    found = []
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    hook = first.register_forward_hook(lambda module, inputs, output: found.append((inputs[0], output)))
    network(torch.zeros(1, *shape, device=first.weight.device))
    hook.remove()
    inputs, _ = found[0]
    return flops(lambda: first(inputs))


def minimum_flops(name: str, parts: Parts) -> float:
    """Per image, or pair, of the step."""
    training: Any = parts.training
    if name.startswith("generator"):
        generator = training.generator
        image = (3, generator.image_size, generator.image_size)
        features = generator.network.encode(torch.zeros(1, *image)).shape[1:]
        encode = _forward(generator.network.encoder, *image)
        decode = _forward(generator.network.decoder, *features)
        judge = _forward(generator.discriminator, *image)
        learns = 2 * (3 * encode - _first_convolution(generator.network.encoder, *image)) + 3 * 3 * decode
        passes_on = 2 * judge
        discriminator = 2 * (3 * judge - _first_convolution(generator.discriminator, *image))
        return learns + passes_on + discriminator
    image = parts.views.subset.images.shape[1:]
    model = training.model
    least = 3 * _forward(model, *image) - _first_convolution(model, *image)
    if name == "classifier, mixing":
        network = training._mixer.generator
        enlarged = (3, network.image_size, network.image_size)
        features = network.encode(torch.zeros(1, *enlarged)).shape[1:]
        least += 2 * _forward(network.encoder, *enlarged) + _forward(network.decoder, *features)
    return least


def batch_of(parts: Parts, size: int) -> Batch:
    index = torch.arange(size, device=parts.views.subset.images.device) % len(parts.views.subset)
    return parts.views(index)


def work(name: str, folder: Path) -> dict[str, float]:
    """`gflop` and `minimum_gflop` of a step, on the CPU."""
    role, size, overrides = STEPS[name]
    machine = Machine.choose("cpu", "fp32")
    parts = with_segments(parts_of(role, machine, folder, *overrides), machine)
    batch = batch_of(parts, COUNTED)
    counted = flops(lambda: parts.training.step(batch)) / COUNTED
    return {
        "gflop": round(size * counted / 1e9, 1),
        "minimum_gflop": round(size * minimum_flops(name, parts) / 1e9, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flops-only", action="store_true", help="count, measure no time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, size, _) in STEPS.items():
            rows[name] = {"batch": size, **work(name, Path(folder))}
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for name, row in rows.items():
            print(f"{name:30} batch {row['batch']:3}: {row['gflop']:8.1f} GFLOP, at least {row['minimum_gflop']:8.1f}")


if __name__ == "__main__":
    main()
