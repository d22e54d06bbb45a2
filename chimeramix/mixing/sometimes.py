"""Per-sample probability: each image of a batch is mixed or left by a draw of its own (timm's `mode="elem"`)."""

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Sometimes(Mixer):
    """Keeps each sample as it was with probability 1 - `probability`, and takes it from the mixer otherwise.

    Args:
        mixer: mixes whole batches; its own probability is left in force.
        probability: share of samples that are taken from the mixer.
        rng: with a seed or a generator, a mixer that has none gets a seed from it, too.
    """

    def __init__(
        self, mixer: Mixer, probability: float = 0.5, rng: RandomStream | torch.Generator | int | None = None
    ) -> None:
        super().__init__(mixer.num_classes, probability, rng)
        self.mixer = mixer
        self.only_cuts = mixer.only_cuts
        self._seed_parts([mixer])

    def check(self, image_size: int) -> None:
        self.mixer.check(image_size)

    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        mixed = self.stream(batch.images.device).uniform(len(batch), 1) < self.probability
        images, targets = self.mixer.mix(batch)
        images = torch.where(mixed[..., None, None], images, batch.images)
        return images, torch.where(mixed, targets, self.targets(batch.labels))
