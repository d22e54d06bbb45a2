"""GridMix: within a crop, each cell of a grid shows a square of the partner.

MiAMix (Liang et al. 2023) names Baek, Bang and Shim (2021) for it, who also train a second, local loss; but its tables
take their accuracies from OpenMixup, whose "gridmix" are the masks of GridMixup. These are the masks here, with three
deviations. Crops that exceed the image, 45 % of the draws there, are cut to it; there, negative places wrap around or
select nothing. A crop may touch the image's lower and right edges; there, only one as large as the image does. The
crop's height follows from its width before that is rounded down; there, afterwards (and from an area rounded down).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import Blend
from chimeramix.streams import RandomStream


class LatticeMask:
    """1 but for squares of the partner, of side ratio sqrt(1 - ratio), in the upper left corner of each cell of a crop.

    The crop's area, height / width and place and the number of cells across are uniform; cells are square, their side
    is the crop's width over that number, rounded up; a square has at least 1 pixel a side, and 1 less than its cell at
    most. Outside the crop the partner doesn't show, so the mean is above a small ratio.

    Args:
        cells: smallest and largest number of cells across the crop.
        area: smallest and largest share of the image that the crop covers.
        aspect: smallest and largest height / width of the crop.
    """

    augmentable = True

    def __init__(
        self,
        cells: Sequence[int] = (2, 6),
        area: Sequence[float] = (0.5, 1.0),
        aspect: Sequence[float] = (0.5, 2.0),
    ) -> None:
        for name, limits, least in (("cells", cells, 1), ("area", area, 0), ("aspect", aspect, 0)):
            if len(limits) != 2 or not least <= limits[0] <= limits[1] or limits[1] == 0:
                raise ValueError(f"{name} must be two values in ascending order, at least {least}, got {list(limits)}")
        if area[1] > 1:
            raise ValueError(f"area must be at most 1, got {list(area)}")
        self.cells = cells
        self.area = area
        self.aspect = aspect

    def check(self, size: int) -> None:
        narrowest = int(size * (self.area[0] / self.aspect[1]) ** 0.5)
        if narrowest < self.cells[1]:
            raise ValueError(
                f"cells={list(self.cells)}: images of {size} pixels have crops of {narrowest}, too few for so many"
            )

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        height, width = partner.shape[-2:]
        count = len(ratio)
        area = self._between(self.area, rng.uniform(count)) * (height * width)
        aspect = self._between(self.aspect, rng.uniform(count))
        crop_width = (area / aspect).sqrt()
        crop_height = crop_width * aspect
        crop_width = crop_width.long().clamp(1, width)
        crop_height = crop_height.long().clamp(1, height)
        left = (rng.uniform(count) * (width - crop_width + 1)).long().clamp(max=width - 1)
        top = (rng.uniform(count) * (height - crop_height + 1)).long().clamp(max=height - 1)
        across = self.cells[0] + rng.integers(self.cells[1] - self.cells[0] + 1, count)
        cell = (crop_width + across - 1) // across
        side = torch.minimum((cell * (1 - ratio).sqrt()).long().clamp(min=1), (cell - 1).clamp(min=1))

        def along(size: int, start: Tensor, extent: Tensor) -> Tensor:
            place = torch.arange(size, device=ratio.device) - start[:, None]
            return (place >= 0) & (place < extent[:, None]) & (place % cell[:, None] < side[:, None])

        rows, columns = along(height, top, crop_height), along(width, left, crop_width)
        return 1 - (rows[:, :, None] & columns[:, None, :]).unsqueeze(1).float()

    @staticmethod
    def _between(limits: Sequence[float], uniform: Tensor) -> Tensor:
        return limits[0] + (limits[1] - limits[0]) * uniform


class GridMix(Blend):
    """Masks of squares on a grid; see `LatticeMask` and `Blend` for the parameters."""

    only_cuts = True

    def __init__(
        self,
        num_classes: int,
        alpha: float = 1.0,
        cells: Sequence[int] = (2, 6),
        area: Sequence[float] = (0.5, 1.0),
        aspect: Sequence[float] = (0.5, 2.0),
        probability: float = 1.0,
        per: Literal["sample", "batch"] = "sample",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, LatticeMask(cells, area, aspect), alpha, probability, per, rng)
