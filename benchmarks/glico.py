"""How well GLICO reconstructs after few steps: `python -m benchmarks.glico --root DIR [--sizes 32 64 96]`.

Trains on 5 images a class of `DIR/train/CLASS/*`, scaled to each size, with the weak classifier's gradient treated in
several ways, and compares the root of the mean squared error in [0, 1] with that of a constant image, each channel's
mean; at the end also between the modes of the batch normalisation. An epoch has 3 steps, as the recipe of STL-10 gives
at 5 images a class; the rate falls as it does there.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import write
from chimeramix.config.compose import compose_settings
from chimeramix.data.image_folder import ImageFolder
from chimeramix.data.subset import draw_subset
from chimeramix.generators import GlicoGenerator
from chimeramix.machine import Machine
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Subset

PER_CLASS = 5
EPOCH_STEPS = 3
FULL = "generator.classifier_gradient=full"
VARIANTS = {
    "default": [],
    "no classifier": ["generator.gamma=0"],
    "published": [FULL, "generator.optimizer_state=cleared"],
    "full gradient, state kept, L1 on [0, 1]": [FULL, "generator.reconstruction_weight=1"],
}


def images_of(root: str, size: int) -> Subset:
    """The subset of seed 0, scaled."""
    part = ImageFolder(root, "images", size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).train()
    indices = draw_subset(part.labels, PER_CLASS, 0, part.classes)
    return Subset(part.read(indices), part.labels[indices], len(part.classes))


def trained(subset: Subset, steps: int, batch_size: int, words: list[str]) -> dict[str, Any]:
    """Errors by step, and at the end by the mode of the batch normalisation."""
    size = subset.images.shape[-1]
    words = [f"generator.image_size={size}", f"generator.batch_size={batch_size}", *words]
    words.append(f"generator.epochs={steps // EPOCH_STEPS}")
    generator = build.generator(compose_settings("generator", ["+dataset=stl10", "+experiment=glico", *words]).config)
    torch.manual_seed(0)  # the weak classifier's weights
    generator.begin(subset, RandomStream(1))
    generator.prepare(Machine(torch.device("cpu")), steps)
    images = subset.images / 127.5 - 1
    rng, waiting, errors = RandomStream(2), torch.zeros(0, dtype=torch.int64), {}
    for step in range(1, steps + 1):
        if len(waiting) < batch_size:
            waiting = torch.cat([waiting, rng.permutation(len(subset))])
        index, waiting = waiting.split([batch_size, len(waiting) - batch_size])
        generator.step(Batch(images[index], subset.labels[index], index), None, rng)
        generator.advance()
        if step % 50 == 0 or step == steps:
            buffers = {name: value.clone() for name, value in generator.network.named_buffers()}
            unsettled = error(generator, images)
            generator.settle()
            errors[step] = error(generator, images)
            for name, value in generator.network.named_buffers():
                value.copy_(buffers[name])
    modes = {
        "training mode": error(generator, images, training=True),
        "evaluation mode, the training's running averages": unsettled,
        "evaluation mode, settled": errors[steps],
    }
    return {"rmse": errors, "rmse by mode": modes}


@torch.no_grad()
def error(generator: GlicoGenerator, images: Tensor, training: bool = False) -> float:
    """Root mean square in [0, 1] over all images, decoded as in training or as for a classifier."""
    network = generator.network.train(training)
    decoded = network.decode(network.codes, RandomStream(3))
    network.train()
    return rmse(decoded, images)


def rmse(one: Tensor, other: Tensor) -> float:
    """Of images in [-1, 1], as in [0, 1]."""
    return round(((one - other) / 2).square().mean().sqrt().item(), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with train/CLASS/*")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 96])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args()
    results: dict[str, Any] = {}
    sizes = " ".join(map(str, options.sizes))
    command = f"python -m benchmarks.glico --root DIR --sizes {sizes} --steps {options.steps}"
    command += f" --batch-size {options.batch_size}"
    described = f"{Path(options.root).name}, {PER_CLASS} a class, scaled to each size"
    for size in options.sizes:
        subset = images_of(options.root, size)
        images = subset.images / 127.5 - 1
        row = results[str(size)] = {"constant image": rmse(images.mean((0, 2, 3), keepdim=True), images)}
        print(f"{size} pixels, constant image: {row['constant image']}", flush=True)
        for name in options.variants:
            row[name] = trained(subset, options.steps, options.batch_size, VARIANTS[name])
            print(f"{size} pixels, {name}: {row[name]}", flush=True)
            result = {"command": command, "images": described, "rmse in [0, 1]": results}
            path = write("glico", torch.device("cpu"), result)
    print(path)


if __name__ == "__main__":
    main()
