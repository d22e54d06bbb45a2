"""GLICO (Azuri & Weinshall 2021, section 3.3): images are replaced by decoded codes from between two of their class."""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.mixing.chimera import Partners
from chimeramix.mixing.rows import Rows, replace_rows
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class CodeGenerator(Protocol):
    """A trained generator with one code per image of the subset."""

    image_size: int
    codes: Tensor

    def interpolate(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor: ...

    def decode(self, codes: Tensor, rng: RandomStream) -> Tensor: ...


class GLICO(Mixer):
    """Replaces images by what lies between their code and that of another image of their class.

    The label stays that of the image. Generated images are not augmented, and no gradient is recorded.

    Args:
        num_classes: `K`.
        generator: frozen, on the images' device.
        partners: draws the other images.
        probability: share of replaced images (paper: 0.5).
        per: `sample` decides for each image (paper), `batch` for all of a batch, which then share one step too
            (published code).
        steps: shares of the way to the partner, one of which is drawn; below 1/2 the image stays the nearer one.
        interpolation: `slerp` along the sphere, or `lerp` along the chord (ablation).
        include_self: whether an image may be its own partner (published code).
    """

    def __init__(
        self,
        num_classes: int,
        generator: CodeGenerator,
        partners: Partners,
        probability: float = 0.5,
        per: Literal["sample", "batch"] = "sample",
        steps: Sequence[float] = (0.1, 0.2, 0.3, 0.4),
        interpolation: Literal["slerp", "lerp"] = "slerp",
        include_self: bool = False,
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, probability, rng)
        if per not in ("sample", "batch"):
            raise ValueError(f"per must be sample or batch, got {per}")
        if not steps or not all(0 <= step <= 1 for step in steps):
            raise ValueError(f"steps must be numbers in [0, 1], got {list(steps)}")
        if interpolation not in ("slerp", "lerp"):
            raise ValueError(f"interpolation must be slerp or lerp, got {interpolation}")
        self.check_generator(generator)
        self.generator = generator
        partners.check(include_self)
        self.partners = partners
        self.include_self = include_self
        self.per = per
        self.steps = tuple(steps)
        self.interpolation = interpolation

    @classmethod
    def check_generator(cls, generator: object) -> None:
        if not hasattr(generator, "codes"):
            raise ValueError("needs a generator with latent codes: choose generator=glico")

    def check(self, image_size: int) -> None:
        if self.generator.image_size != image_size:
            raise ValueError(
                f"the generator makes images of {self.generator.image_size} pixels, the classifier takes {image_size}: "
                f"set generator.image_size={image_size}"
            )

    @torch.no_grad()
    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        rng = self.stream(batch.images.device)
        if self.per == "batch":
            return super().mix_batch(batch)
        chosen = rng.uniform(len(batch)) < self.probability
        between = self._codes_between(batch, rng, len(batch))

        def generated(rows: Rows) -> Tensor:
            return self.generator.decode(between[rows], rng).to(batch.images.dtype)

        return replace_rows(batch.images, chosen, generated, rng.in_graph), self.targets(batch.labels)

    @torch.no_grad()
    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        images = self.generator.decode(self._codes_between(batch, rng, 1), rng)
        return images.to(batch.images.dtype), self.targets(batch.labels)

    def _codes_between(self, batch: Batch, rng: RandomStream, draws: int) -> Tensor:
        """`[B, d]`: a step away from the batch's own codes, towards those of random partners."""
        if batch.index is None:
            raise ValueError("GLICO needs the images' positions in the subset: call mix with a batch of the subset")
        share = self.draw_shares(rng, draws)
        own = self.generator.codes[batch.index]
        other = self.generator.codes[self.partners.index(batch, self.include_self)]
        if self.interpolation == "lerp":
            return own + share * (other - own)
        return self.generator.interpolate(own, other, share.expand(len(batch), 1))

    def draw_shares(self, rng: RandomStream, draws: int) -> Tensor:
        """`[draws, 1]` float32: one of the steps each."""
        draw = rng.integers(len(self.steps), draws, 1)
        share = sum((draw == position).float() * step for position, step in enumerate(self.steps))
        assert isinstance(share, Tensor)
        return share
