"""Augmented, normalised views of the subset's images, and the partners that they are mixed with."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from chimeramix.data.segments import SubsetSegments
from chimeramix.streams import RandomStream, may_look
from chimeramix.types import Batch, Subset

Augment = Callable[..., tuple[Tensor, Tensor | None]]  # see `chimeramix.augment`
Erase = Callable[[Tensor, RandomStream], Tensor]


class Normalize:
    """Turns uint8 pixels into floats: `(pixel / 255 - mean) / std` per channel, as one multiplication and addition."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        centre = torch.tensor(list(mean), dtype=torch.float64).view(-1, 1, 1)
        spread = torch.tensor(list(std), dtype=torch.float64).view(-1, 1, 1)
        if (spread <= 0).any():
            raise ValueError(f"std must be positive, got {list(std)}")
        self._scale = (1 / (255 * spread)).float().to(device)
        self._shift = (-centre / spread).float().to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """`[..., 3, H, W]` uint8 to float32."""
        return torch.addcmul(self._shift, images.float(), self._scale)

    def inverse(self, images: Tensor) -> Tensor:
        """Normalised floats to floats in [0, 1]."""
        return (images - self._shift) / (255 * self._scale)


class Views:
    """Makes a batch out of positions in the subset: `views(index [B]) -> Batch`, all on the subset's device.

    Args:
        augment: of uint8 images and their segments; see `chimeramix.augment`.
        segments: superpixels of the subset's images, of which every batch gets its part; None for no superpixels.
        erase: of normalised images; see `chimeramix.augment.erasing`.
    """

    def __init__(
        self,
        subset: Subset,
        augment: Augment,
        normalize: Normalize,
        rng: RandomStream,
        segments: SubsetSegments | None = None,
        erase: Erase | None = None,
    ) -> None:
        self.subset = subset
        self.normalize = normalize
        self.segments = segments
        self._augment = augment
        self._rng = rng
        self._erase = erase

    def __call__(self, index: Tensor) -> Batch:
        sizes: dict[str, Any] = {} if self.subset.sizes is None else {"sizes": self.subset.sizes[index]}
        pixels, segments = self._augment(self.subset.images[index], self._segments_at(index), self._rng, **sizes)
        images = self.normalize(pixels)
        if self._erase is not None:
            images = self._erase(images, self._rng)
        return Batch(images, self.subset.labels[index], index, segments)

    def plain(self, index: Tensor) -> Batch:
        """The same without augmentation, for pictures."""
        images = self.normalize(self.subset.images[index])
        return Batch(images, self.subset.labels[index], index, self._segments_at(index))

    def _segments_at(self, index: Tensor) -> Tensor | None:
        return None if self.segments is None else self.segments.labels[index]


class SameClassPartners:
    """Draws for each sample a partner of its class, uniformly over the whole subset, as a view of its own.

    With `include_self` an image may be its own partner, with probability 1 / (samples of the class), as in the
    published code; the paper speaks of a pair of images of one class and leaves it open.

    Several partners of a sample are drawn independently of each other with `include_self`; without it, they and the
    sample are different images.

    Args:
        views: makes the partner's view.
        rng: draws the partners.

    Raises:
        ValueError: on a call, for labels that are not class numbers, and for classes of which the subset has no image.
    """

    def __init__(self, views: Views, rng: RandomStream) -> None:
        self.views = views
        self._rng = rng
        labels = views.subset.labels
        self._members = labels.argsort(stable=True)
        self._count = labels.bincount(minlength=views.subset.num_classes)
        self._start = self._count.cumsum(0) - self._count
        self._has_every_class = bool((self._count > 0).all())
        self._largest = int(self._count.max())
        self._place = torch.empty_like(self._members)  # position of a sample among the members of its class
        self._place[self._members] = (
            torch.arange(len(labels), device=labels.device) - self._start[labels[self._members]]
        )

    def check(self, include_self: bool, images: int = 2) -> None:
        """Raises `ValueError` where a class has fewer than two images, unless an image may be its own partner; or, of
        more than two that are mixed, fewer than these."""
        present = self._count[self.views.subset.labels]
        if images > 2 and int(present.min()) < images:
            raise ValueError(
                f"mask.images={images} needs {images} images of each class, but the smallest has only "
                f"{int(present.min())} to train on: set mask.images={max(int(present.min()), 2)}, raise "
                "max_labels_per_class, or hold out fewer with validation"
            )
        if not include_self and bool((present < 2).any()):
            raise ValueError("include_self=false needs at least two samples in every class")

    def index(self, batch: Batch, include_self: bool, count: int = 1) -> Tensor:
        """`[B]` int64 positions in the subset; of `count` partners `[count * B]`, all first ones, then all second ones.

        `ValueError` without `include_self` for a batch from elsewhere."""
        if batch.labels.device != self._count.device:
            raise ValueError(
                f"the batch is on {batch.labels.device} and the support set on {self._count.device}: make the mixer "
                "with the batches' device"
            )
        if batch.labels.is_floating_point():
            raise ValueError("partners of the same class need class numbers as labels, not soft labels")
        members, start = self._count[batch.labels], self._start[batch.labels]
        # For a batch of the subset this is known, so that the host does not wait for the device.
        if batch.index is None and not self._has_every_class and bool((members == 0).any()):
            missing = batch.labels[members == 0].unique().tolist()
            raise ValueError(f"the subset has no image of these classes to mix with: {missing}")
        if include_self:
            draw = self._rng.uniform(count, len(batch))
            return self._members[start + (draw * members).long().clamp(max=members - 1)].flatten()
        if batch.index is None:
            raise ValueError("include_self=false needs the batch's positions in the subset")
        # Some of the other members: count on from the sample itself, round the class.
        steps = 1 + self._different(members - 1, count)
        return self._members[start + (self._place[batch.index] + steps) % members].flatten()

    def _different(self, high: Tensor, count: int) -> Tensor:
        """`[count, B]` int64, different numbers in 0..high-1 for each of the B elements of `high`, which are at least
        `count`."""
        if count == 1:
            return (self._rng.uniform(1, len(high)) * high).long().clamp(max=high - 1)
        # The largest of as many random keys as there are numbers.
        keys = self._rng.uniform(len(high), self._largest)
        absent = torch.arange(self._largest, device=keys.device) >= high[:, None]
        return keys.masked_fill(absent, -1).topk(count).indices.T

    def __call__(self, batch: Batch, include_self: bool, count: int = 1) -> Batch:
        return self.views(self.index(batch, include_self, count))

    def shared(self, batch: Batch, include_self: bool, count: int) -> tuple[Batch, Tensor | None]:
        """Views of the partners. On the CPU there is one of each image however often it was drawn for the batch: those
        who draw the same image share its augmentation, and whoever encodes views does it once for each. Elsewhere there
        is one of each image of the subset, or of each draw, whichever are fewer.

        Returns:
            V views, and which of them each partner is, `[count * B]` int64 in the order of `index`; None where they are
            the partners themselves.
        """
        index = self.index(batch, include_self, count)
        if may_look(index):
            drawn, where = index.unique(return_inverse=True)
            return self.views(drawn), where
        # Elsewhere, asking which ones were drawn would wait for the device: the whole subset, if that is no more.
        if len(self.views.subset) <= len(index):
            return self.views(torch.arange(len(self.views.subset), device=index.device)), index
        return self.views(index), None
