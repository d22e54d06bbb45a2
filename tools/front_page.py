"""Draws the README's first picture: pairs of images of a class, masks, and what a generator composes of them.

`python -m tools.front_page FILE.png RUN`, with the folder of a ChimeraMix generator for two images, such as the demo's.
"""

import sys
from pathlib import Path

from chimeramix.files import write_atomically
from tools.compositions import columns_of

PAIRS = 10
NAMES = ("image", "another of its class", "mask", "ChimeraMix")


def main(target: str, run: str) -> None:
    """One pair of each of the first classes, side by side."""
    from matplotlib.figure import Figure

    rows = columns_of([Path(run)], PAIRS).values()
    figure = Figure(figsize=(PAIRS + 1.6, len(NAMES)), layout="constrained")
    axes = figure.subplots(len(NAMES), PAIRS)
    for name, images, places in zip(NAMES, rows, axes, strict=True):
        places[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=13)
        for image, place in zip(images, places, strict=False):
            place.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        for place in places:
            place.set(xticks=[], yticks=[], frame_on=False)
    write_atomically(Path(target), lambda path: figure.savefig(path, format="png", dpi=100))
    print(target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
