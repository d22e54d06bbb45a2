"""What every mixer has in common."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Mixer(nn.Module):
    """Turns a batch into mixed images and soft targets, with a given probability per batch.

    A mixer is called as torchvision's `v2.MixUp` is: `images, targets = mixer(images, labels)`. Training loops of this
    package call `mix` with a whole `Batch`, which also tells where the images come from. A subclass implements
    `compose`.

    Args:
        num_classes: K.
        probability: share of batches that are mixed; the others pass unchanged with one-hot targets.
        rng: all random draws; None makes one on the first batch's device, seeded as torch's global generator was.
    """

    needs_generator: ClassVar[bool] = False
    """Whether the constructor takes `generator`, a trained and frozen image generator."""
    needs_partners: ClassVar[bool] = False
    """Whether the constructor takes `partners`, a callable from a batch to a batch of same-class images."""

    def __init__(self, num_classes: int, probability: float = 1.0, rng: RandomStream | None = None) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}")
        self.num_classes = num_classes
        self.probability = probability
        self.rng = rng

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Takes `[B, C, H, W]` float images and `[B]` int64 or `[B, K]` float labels; returns images of the same shape
        and targets `[B, K]` float32 whose rows sum to 1."""
        return self.mix(Batch(images, labels))

    def mix(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same for a batch; one draw decides for all of its images."""
        if self.rng is None:
            self.rng = RandomStream(torch.initial_seed(), batch.images.device)
        if not self.rng.coin(self.probability):
            return batch.images, self.targets(batch.labels)
        return self.compose(batch, self.rng)

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def check(self, image_size: int) -> None:
        """Raises `ValueError` where images of this side can't be mixed; for asking before a training starts."""

    def targets(self, labels: Tensor) -> Tensor:
        """`[B, K]` float32: soft labels as they are, class numbers one-hot."""
        if labels.is_floating_point():
            return labels.float()
        return F.one_hot(labels, self.num_classes).float()
