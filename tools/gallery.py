"""Draws what every mixer makes of the same pairs of images: `python -m tools.gallery [docs/mixers.png]`.

Two rows per mixer of `conf/mixer` that needs no generator: the weight of the first image (white) and the mixture, with
the first image's label weight above it. The photographs come with scikit-image. What generators make shows in the
`pictures` of their run folders.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from chimeramix.config.compose import CONFIG_DIR, compose_settings
from chimeramix.config.messages import options_of
from chimeramix.data.resize import resize
from chimeramix.data.segments import segment
from chimeramix.mixing import Blend, DirectMix, MiAMix
from chimeramix.mixing.blend import blend
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

SIZE, COLUMNS, SEED = 64, 8, 3


def photographs() -> Tensor:
    """`[2, 3, SIZE, SIZE]` uint8: an astronaut's face, and a cat's."""
    crops = (skimage.data.astronaut()[0:256, 96:352], skimage.data.cat()[20:276, 60:316])
    return torch.cat(
        [resize(torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None], SIZE) for crop in crops]
    )


def masks_and_mixtures(mixer: Any, first: Batch, partner: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `[COLUMNS, 1, S, S]`, mixtures `[COLUMNS, 3, S, S]` and the first image's label weights `[COLUMNS]`."""
    rng = RandomStream(SEED)
    if isinstance(mixer, DirectMix):
        mask = mixer.mask(first, partner, SIZE, rng)
        return mask, torch.lerp(partner.images, first.images, mask), torch.ones(COLUMNS)
    if isinstance(mixer, MiAMix):
        mask = mixer.sample_masks(partner.images, rng)[0]
    else:
        assert isinstance(mixer, Blend)
        mask = mixer.blend_mask(rng.beta(mixer.alpha, COLUMNS), partner.images, rng)
    images, targets, _, _ = blend(
        first.images, partner.images, mask, torch.eye(2)[first.labels], torch.eye(2)[partner.labels]
    )
    return mask.expand(-1, 1, SIZE, SIZE), images, targets[:, 0]


def rows() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    photos = photographs()
    segments = segment(photos, [0.5] * 3, [0.5] * 3, scale=60, sigma=0.8, min_size=60, cache_dir=None, workers=1)
    first, partner = (
        Batch(
            (photos[[n]] / 127.5 - 1).expand(COLUMNS, -1, -1, -1),
            torch.full((COLUMNS,), n),
            segments=segments[[n]].expand(COLUMNS, -1, -1),
        )
        for n in (0, 1)
    )
    made = {}
    for option in options_of("mixer", [CONFIG_DIR]):
        for mask in ("grid", "segments"):
            words = ["+dataset=demo/digits", f"mixer={option}", f"mask={mask}", "generator=chimera"]
            config = compose_settings("classifier", words).config
            if option == "none" or build.needs_generator(config) or ("mask" not in config.mixer and mask != "grid"):
                continue
            mixer = build.mixer(config, _NoViews(), _Streams(), 2, None)  # type: ignore[arg-type]
            made[f"{option}, {mask}" if "mask" in config.mixer else option] = masks_and_mixtures(mixer, first, partner)
    return made


class _Streams(dict[str, RandomStream]):
    def __missing__(self, purpose: str) -> RandomStream:
        return RandomStream(SEED)


class _NoViews:
    """The mixers here draw their partners from what they are given."""

    class subset:
        images = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
        labels = torch.tensor([0, 1])
        num_classes = 2


def draw(path: Path) -> None:
    photos, made = photographs(), rows()
    figure = Figure(figsize=(1.05 * COLUMNS + 2.4, 2.25 * len(made) + 1.6), dpi=80)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 * len(made) + 1, COLUMNS + 1, hspace=0.28, wspace=0.05)

    def show(row: int, column: int, image: Tensor, title: str = "") -> None:
        axes = figure.add_subplot(grid[row, column])
        axes.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=8, pad=2)
        axes.axis("off")

    show(0, 1, photos[0] / 255, "first")
    show(0, 2, photos[1] / 255, "partner")
    for number, (name, (masks, images, weights)) in enumerate(made.items()):
        label = figure.add_subplot(grid[2 * number + 1 : 2 * number + 3, 0])
        label.text(1, 0.5, name, ha="right", va="center", fontsize=10)
        label.axis("off")
        for column in range(COLUMNS):
            show(2 * number + 1, column + 1, masks[column])
            show(2 * number + 2, column + 1, (images[column] + 1).clamp(0, 2) / 2, f"{weights[column]:.2f}")
    figure.savefig(path, bbox_inches="tight")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/mixers.png")
    draw(target)
    print(target)
