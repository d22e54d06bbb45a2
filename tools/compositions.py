"""Draws what ChimeraMix generators for two or more images compose of the same ones.

`python -m tools.compositions FILE.png RUN [RUN ...]`, with the folders of finished generators that were trained on the
same images, such as those of

    train_generator.py +dataset=demo/digits +experiment=several/grid max_labels_per_class=8 mask.images=2,3,4,8 -m

A row shows a group of images of one class, as many as the largest `mask.images`, and for each generator a mask and the
composition under it of the first of them. Each image has a grey in the masks, the first one white, the last one black.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.data.resize import resize
from chimeramix.evaluate.images import training_images
from chimeramix.runs.trained import read_generator, support
from chimeramix.shares import combine, images_of, pictures_of
from chimeramix.streams import RandomStream
from chimeramix.training.pictures import draw_columns

ROWS, SEED = 6, 0


def groups_of(labels: Tensor, images: int, count: int = ROWS) -> Tensor:
    """`[N, count]`: positions of N images of each of the first classes."""
    order = torch.argsort(RandomStream(SEED).uniform(len(labels)))
    rows = [order[labels[order] == label][:images] for label in labels.unique()[:count].tolist()]
    return torch.stack(rows, 1)


@torch.no_grad()
def columns_of(runs: Sequence[Path], count: int = ROWS) -> dict[str, Tensor]:
    """The picture's columns by title, each `[count, 3, S, S]` in [0, 1]. Raises `ValueError` for other images."""
    data, *others = (training_images(read_generator(run)[1], run) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        if other.indices != data.indices:
            raise ValueError(f"{run} was trained on other images than {runs[0]}")
    made = [support(run, data.images, data.labels, rng=SEED) for run in runs]
    largest = max(images_of(one["mask"]) for one in made)
    groups = groups_of(data.labels, largest, count)
    size = made[0]["generator"].image_size
    pixels = resize(data.images, size)
    columns = {f"image {number + 1}": pixels[group] / 255 for number, group in enumerate(groups)}
    for run, one in zip(runs, made, strict=True):
        images, views, network = images_of(one["mask"]), one["partners"].views, one["generator"]
        first, partner = views.plain(groups[0]), views.plain(groups[1:images].flatten())
        together = torch.cat([first.images, partner.images])
        if together.shape[-1] != network.image_size:
            together = F.interpolate(together, size=(network.image_size,) * 2, mode="bilinear")
        features = network.encode(together)
        mask = one["mask"](first, partner, features.shape[-1], RandomStream(SEED))
        composition = network.decode(combine(features, mask))
        enlarged = F.interpolate(pictures_of(mask), size=composition.shape[-2:], mode="nearest")
        name = f"{images} images" if f"composition, {images} images" not in columns else f"{images} images, {run.name}"
        columns[f"mask, {name}"] = enlarged.expand_as(composition)
        columns[f"composition, {name}"] = views.normalize.inverse(composition)
    return columns


def main(target: str, *runs: str) -> None:
    draw_columns(columns_of([Path(run) for run in runs]), Path(target), "compositions of images of a class")
    print(target)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
