"""An evaluation as a picture: compositions beside their sources and nearest training images, and the distances."""

from pathlib import Path

import torch
from torch import Tensor

from chimeramix.evaluate.composing import Compositions
from chimeramix.training.pictures import names_as_they_are, save, show_columns

_ROWS = 8


@names_as_they_are()
def draw(
    compositions: Compositions,
    training: Tensor,
    distances: dict[str, Tensor],
    positions: Tensor,
    path: Path,
    title: str,
) -> None:
    """Draws compositions from the nearest to a training image down to the farthest, in even steps.

    Args:
        training: `[N, 3, S, S]` uint8.
        distances: to the nearest training image in pixels, of sets of images `[M]`, the compositions first.
        positions: `[M]`, which training image is nearest to each composition.
        path: the PNG.
    """
    from matplotlib.figure import Figure

    order = next(iter(distances.values())).argsort(stable=True)
    rows = order[torch.linspace(0, len(order) - 1, min(_ROWS, len(order))).round().long()]
    columns = {"composition": compositions.images[rows]}
    if compositions.sources is not None:
        for number, source in enumerate(compositions.sources[rows].T, 1):
            columns[f"source {number}"] = training[source]
    columns["nearest training image"] = training[positions[rows]]
    figure = Figure(figsize=(max(1.1 * len(columns), 6), 1.1 * len(rows) + 3.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.1 * len(rows), 3], squeeze=False).ravel()
    show_columns(upper, {name: images.float() / 255 for name, images in columns.items()})
    upper.suptitle(f"{title}\nfrom the composition nearest to a training image to the farthest one", fontsize=8)
    axis = lower.subplots()
    largest = max(float(each.max()) for each in distances.values())
    for name, each in distances.items():
        # Shares and not counts: the sets differ in size.
        weights = [1 / len(each)] * len(each)
        axis.hist(each.numpy(), bins=40, range=(0, largest or 1), weights=weights, histtype="step", label=name)
    axis.set(xlabel="distance to the nearest training image (root mean square of pixels in [0, 1])")
    axis.set_ylabel("share of images")
    axis.legend(fontsize=7)
    save(figure, path)
