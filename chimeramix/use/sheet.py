"""The contact sheet beside an image folder: some images of each class with what they were made of."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.utils import make_grid

from chimeramix.shares import pictures_of
from chimeramix.training.pictures import names_as_they_are, save, short_name
from chimeramix.use.synthesised import Synthesised

_MOST_CLASSES = 20
_COLUMNS = 8
_GAP = 2  # pixels


def shown_classes(number: int) -> list[int]:
    """Classes that a sheet has room for: all, or some in even steps."""
    return sorted({*torch.linspace(0, number - 1, min(number, _MOST_CLASSES)).round().long().tolist()})


def examples(image: Synthesised) -> int:
    """How many images like this one a row has room for."""
    return max(_COLUMNS // len(_titles(image)), 1)


@names_as_they_are()
def draw_sheet(rows: dict[str, Sequence[Synthesised]], training: Tensor, path: Path, title: str) -> None:
    """A row for each class, in it for each image its sources and mask, as far as they are known, and the image.

    Args:
        rows: equally many images of one kind by the class's name.
        training: `[N, 3, S, S]` uint8 on the CPU, the subset's.
    """
    from matplotlib.figure import Figure

    first = next(iter(rows.values()))
    titles = [name for image in first for name in _titles(image)]
    cells = [cell for images in rows.values() for image in images for cell in _cells(image, training)]
    grid = make_grid(torch.stack(cells), nrow=len(titles), padding=_GAP, pad_value=255)
    figure = Figure(figsize=(1 * len(titles) + 1.2, 1 * len(rows) + 0.8), layout="constrained")
    axis = figure.subplots()
    axis.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")
    side = training.shape[-1] + _GAP
    for place, names in ((axis.set_xticks, titles), (axis.set_yticks, [short_name(name) for name in rows])):
        place([_GAP + side * number + (side - _GAP - 1) / 2 for number in range(len(names))], labels=names)
    axis.tick_params(length=0, labelsize=7, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.spines[:].set_visible(False)
    if "mask" in titles:
        title = f"{title}; masks: white where source 1 shows, black where the last one does"
    figure.suptitle(title, fontsize=8)
    save(figure, path)


def _titles(image: Synthesised) -> list[str]:
    sources = [f"source {number}" for number in range(1, len(image.sources) + 1)]
    return [*sources, *(["mask"] if image.mask is not None else []), "image"]


def _cells(image: Synthesised, training: Tensor) -> list[Tensor]:
    """The same as pictures `[3, S, S]` uint8."""
    cells = [training[source] for source in image.sources]
    if image.mask is not None:
        size = tuple(image.image.shape[-2:])
        mask = interpolate(pictures_of(image.mask[None]), size=size, mode="nearest")[0]
        cells.append((mask * 255).round().byte().expand(3, -1, -1))
    return [*cells, image.image]
