"""Plain training: nothing is mixed."""

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Identity(Mixer):
    """Passes images through, with one-hot targets."""

    def __init__(self, num_classes: int, rng: RandomStream | torch.Generator | int | None = None) -> None:
        super().__init__(num_classes, 0.0, rng)

    only_cuts = True

    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images, self.targets(batch.labels)
