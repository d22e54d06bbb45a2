"""ChimeraMix (Reinders et al. 2022): compositions of same-class images, in feature space or in pixels.

The label never changes, because all images are of one class. A mask for more than two images composes as many, after
HydraMix (Reinders, Schubert and Rosenhahn 2025). Then the partners of a batch may share views: an image that is a
partner of several samples, or several partners of one, is augmented once, and encoded once. On a GPU that is so where
a batch draws at least as many partners as the subset has images (see `SameClassPartners.shared`).
"""

from pathlib import Path
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.shares import combine, images_of
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask


class Partners(Protocol):
    """Draws same-class partners; see `chimeramix.data.views.SameClassPartners`."""

    def check(self, include_self: bool, images: int = 2) -> None: ...

    def index(self, batch: Batch, include_self: bool, count: int = 1) -> Tensor: ...

    def __call__(self, batch: Batch, include_self: bool, count: int = 1) -> Batch: ...

    def shared(self, batch: Batch, include_self: bool, count: int) -> tuple[Batch, Tensor | None]: ...


class FeatureGenerator(Protocol):
    """A trained generator: encodes images, mixes feature maps under a mask, decodes."""

    image_size: int

    def encode(self, images: Tensor) -> Tensor: ...

    def mix(self, first: Tensor, second: Tensor, mask: Tensor) -> Tensor: ...

    def decode(self, features: Tensor) -> Tensor: ...


class _WithinClasses(Mixer):
    """What both mixers of this module have in common: partners of each image's class, and a mask."""

    def __init__(
        self,
        num_classes: int,
        partners: Partners,
        mask: Mask,
        probability: float,
        include_self: bool,
        rng: RandomStream | torch.Generator | int | None,
    ) -> None:
        super().__init__(num_classes, probability, rng)
        self._images = images_of(mask)
        if self._images == 2:
            partners.check(include_self)
        else:
            partners.check(include_self, self._images)
        self.partners = partners
        self.include_self = include_self
        self.mask = mask

    def draw_partners(self, batch: Batch) -> tuple[Batch, Tensor | None]:
        """Views of the partners, and which of them each partner is: `[(N - 1) * B]`, or None for their own order."""
        if self._images == 2:
            return self.partners(batch, self.include_self), None
        return self.partners.shared(batch, self.include_self, self._images - 1)


class ChimeraMix(_WithinClasses):
    """Replaces a batch by what the generator decodes from masked mixtures of features (paper 3.1, Equation 1).

    Images are enlarged to the generator's size, encoded, mixed with their partners' features, decoded and reduced
    again; no gradient is recorded. Values stay in the generator's range [-1, 1].

    Args:
        num_classes: `K`.
        generator: frozen, on the images' device.
        partners: draws the same-class partners.
        mask: weight of the first image's features, or shares of those of more images.
        probability: share of replaced batches (the paper's 0.5).
        include_self: whether an image may be its own partner (published code).
        resize: `matched` enlarges as the generator's training images were (bilinear without aligned corners);
            `official` aligns the corners, both ways, as the published classifier stage does.
    """

    def __init__(
        self,
        num_classes: int,
        generator: FeatureGenerator,
        partners: Partners,
        mask: Mask,
        probability: float = 0.5,
        include_self: bool = True,
        resize: Literal["matched", "official"] = "matched",
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, partners, mask, probability, include_self, rng)
        if resize not in ("matched", "official"):
            raise ValueError(f"resize must be matched or official, got {resize}")
        self.check_generator(generator)
        self.generator = generator
        self.align_corners = resize == "official"

    @classmethod
    def from_run(
        cls,
        path: str | Path,
        images: Tensor,
        labels: Tensor,
        probability: float = 0.5,
        include_self: bool = True,
        device: torch.device | str = "cpu",
        rng: int | None = None,
        num_classes: int | None = None,
    ) -> "ChimeraMix":
        """A generator that `train_generator.py` trained, as a mixer for any training loop.

        Batches must be normalised with the mean and standard deviation of the run's data set (0.5 each, unless changed)
        and carry class numbers as labels.

        Args:
            path: the generator's run folder.
            images, labels: the support set from which same-class partners come, `[N, 3, S, S]` uint8 and `[N]` int64,
                as a rule the training images. Partners are augmented as the run's classifier would augment them.
            device: where the batches will be. The support set stays there when the mixer is moved.
            rng: seed of all draws; None draws one from torch's global generator.
            num_classes: `K`, for support sets that lack the last classes; None: one more than their largest label.

        Raises:
            UserError, ValueError: in one line, for a folder or a support set that can't be used.
        """
        # Only here: reading a run needs all that the package needs, a mixer needs torch alone.
        from chimeramix.runs.trained import support

        given = support(path, images, labels, device, rng, num_classes)
        return cls(**given, probability=probability, include_self=include_self)

    @classmethod
    def check_generator(cls, generator: object) -> None:
        if not hasattr(generator, "encode"):
            raise ValueError("needs a generator with features to mix: choose generator=chimera")

    def check(self, image_size: int) -> None:
        self.mask.check(self.generator.image_size // 4)

    @torch.no_grad()
    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        partner, which = self.draw_partners(batch)
        size = batch.images.shape[-1]
        views = self._resize(torch.cat([batch.images, partner.images]), self.generator.image_size)
        features = self.generator.encode(views.to(_dtype_of(self.generator)))
        if which is not None:
            own = torch.arange(len(batch), device=which.device)
            features = features[torch.cat([own, len(batch) + which])]
            partner = _rows(partner, which)
        mask = self.mask(batch, partner, features.shape[-1], rng)
        if self._images == 2:
            first, second = features.chunk(2)
            mixed = self.generator.mix(first, second, mask)  # a generator may have a rule of its own
        else:
            mixed = combine(features, mask)
        images = self.generator.decode(mixed)
        return self._resize(images, size).to(batch.images.dtype), self.targets(batch.labels)

    def _resize(self, images: Tensor, size: int) -> Tensor:
        if images.shape[-1] == size:
            return images
        return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=self.align_corners)


class DirectMix(_WithinClasses):
    """The same composition of pixels instead of features, without a generator (the ablation of Table 3, there called
    GridMix and SegMix; Baek et al.'s GridMix is another method).

    Args:
        num_classes, partners, mask, probability, include_self: as for `ChimeraMix`.
        direct_size: side at which pixels are blended; None blends at the images' own size (paper). The published code
            blends ciFAIR at 64 pixels and reduces to 32, which softens the edges.
    """

    def __init__(
        self,
        num_classes: int,
        partners: Partners,
        mask: Mask,
        probability: float = 0.5,
        include_self: bool = True,
        direct_size: int | None = None,
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, partners, mask, probability, include_self, rng)
        if direct_size is not None and direct_size < 1:
            raise ValueError(f"direct_size must be at least 1, got {direct_size}")
        self.direct_size = direct_size

    def check(self, image_size: int) -> None:
        self.mask.check(self.direct_size or image_size)

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        partner, which = self.draw_partners(batch)
        if which is not None:
            partner = _rows(partner, which)
        size = batch.images.shape[-1]
        blend = self.direct_size or size
        images = torch.cat([self._resize(batch.images, blend), self._resize(partner.images, blend)])
        mask = self.mask(batch, partner, blend, rng)
        return self._resize(combine(images, mask), size), self.targets(batch.labels)

    @staticmethod
    def _resize(images: Tensor, size: int) -> Tensor:
        if images.shape[-1] == size:
            return images
        return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=True)


def _dtype_of(generator: object) -> torch.dtype:
    weights = next(generator.parameters(), None) if isinstance(generator, torch.nn.Module) else None
    return torch.float32 if weights is None else weights.dtype


def _rows(batch: Batch, rows: Tensor) -> Batch:
    """The views at these rows."""
    index, segments = (None if value is None else value[rows] for value in (batch.index, batch.segments))
    return Batch(batch.images[rows], batch.labels[rows], index, segments)
