"""SuperMix (Dabouei et al. 2021) in the classifier: images are replaced by stored mixtures with a teacher's targets."""

from typing import Protocol

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Pool(Protocol):
    """Stored images with soft targets."""

    image_size: int
    count: Tensor

    def draw(self, position: Tensor) -> tuple[Tensor, Tensor]: ...


class SuperMix(Mixer):
    """Replaces each image, with a given probability, by a random one of the pool; its target is the teacher's.

    The paper adds ten mixtures per image to the training set; here `probability` sets their share. Mixtures were
    augmented when they were made and are not augmented again. No gradient is recorded.

    Args:
        num_classes: `K`.
        generator: the pool.
        probability: share of replaced images.

    Raises:
        ValueError: for a generator that is no pool, and for an empty one.
    """

    def __init__(
        self,
        num_classes: int,
        generator: Pool,
        probability: float = 0.5,
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, probability, rng)
        self.check_generator(generator)
        self.generator = generator
        self.count = int(generator.count)

    @classmethod
    def check_generator(cls, generator: object) -> None:
        if not hasattr(generator, "draw"):
            raise ValueError("needs a generator with stored mixtures: choose generator=supermix")

    def check(self, image_size: int) -> None:
        if self.count == 0:
            raise ValueError("the generator kept no mixture at all: train it longer, or with a larger tolerance")
        if self.generator.image_size != image_size:
            raise ValueError(
                f"the generator's images have {self.generator.image_size} pixels, the classifier takes {image_size}: "
                f"set generator.image_size={image_size}"
            )

    @torch.no_grad()
    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        rng = self.stream(batch.images.device)
        chosen = rng.uniform(len(batch), 1) < self.probability
        images, targets = self.generator.draw(rng.integers(max(self.count, 1), len(batch)))
        own = self.targets(batch.labels)
        pixels = torch.where(chosen[..., None, None], images.to(batch.images.dtype), batch.images)
        return pixels, torch.where(chosen, targets, own)
