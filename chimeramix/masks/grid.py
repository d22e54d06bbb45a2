"""ChimeraMix+Grid: blocks chosen by fair coins (ChimeraMix 3.2; sizes and offset as in the published code).

More than two images are after HydraMix (Reinders, Schubert and Rosenhahn 2025), of which the rule was not known here.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.masks.assignment import Assignment, Rule, mask_of
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class GridMask:
    """`mix_size` x `mix_size` fair coins per sample, enlarged to one block more than the target and cut at an offset.

    At 16 positions and mix_size 4 blocks are 5 wide and offsets 0..3, so block borders lie anywhere. The paper does
    not mention the offset.

    Args:
        mix_size: coins per side; 1 selects all of one image.
        offset: `batch` draws one offset for the whole batch (published code), `sample` one per sample, `none` cuts
            nothing: blocks of exactly target / mix_size.
        images: N, of which each block shows one.
        assign: `uniform` draws the image of each block with equal chances (of two images: the fair coin), `dirichlet`
            with chances that are drawn for each sample; see `chimeramix.masks.assignment`.
        concentration: of these chances; 1 takes all equally often.
    """

    segmentation = None

    def __init__(
        self,
        mix_size: int = 4,
        offset: Literal["batch", "sample", "none"] = "batch",
        images: int = 2,
        assign: Rule = "uniform",
        concentration: float = 1.0,
    ) -> None:
        if mix_size < 1:
            raise ValueError(f"mix_size must be at least 1, got {mix_size}")
        if offset not in ("batch", "sample", "none"):
            raise ValueError(f"offset must be batch, sample or none, got {offset}")
        self.mix_size = mix_size
        self.offset = offset
        self.images = images
        self._assignment = Assignment(images, assign, concentration)

    def check(self, size: int) -> None:
        if self.mix_size > size:
            raise ValueError(f"mix_size ({self.mix_size}) must be at most the {size} positions to be masked")

    def __call__(self, first: Batch, partner: Batch, size: int, rng: RandomStream) -> Tensor:
        """Binary mask float32: `[B, 1, size, size]` for two images, `[B, N, size, size]` for more."""
        self.check(size)
        batch, cells = len(first), self.mix_size
        owner = self._assignment.draw(rng, batch, cells, cells)
        margin = 0 if self.offset == "none" else size // cells
        rows = columns = torch.arange(size, device=owner.device).expand(1, size)
        if margin:
            draws = 1 if self.offset == "batch" else batch
            offsets = rng.integers(margin, 2, draws, 1)
            rows, columns = rows + offsets[0], columns + offsets[1]
        # Which cell each position of the enlarged grid shows: as PyTorch's nearest neighbour rounds, in float32.
        place = torch.arange(cells, dtype=torch.float32, device=owner.device).view(1, 1, -1)
        cell = F.interpolate(place, size=size + margin, mode="nearest").view(-1).long()
        rows, columns = cell[rows], cell[columns]
        sample = torch.arange(batch, device=owner.device).view(-1, 1, 1)
        return mask_of(owner[sample, rows[:, :, None], columns[:, None, :]], self.images)
