"""What the parts of the package hand to each other.

Shape legend, valid in every module: B images in a batch, N images of a data set or subset, K classes,
H x W pixels, h x w positions of a feature map, S side of a square image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from chimeramix.streams import RandomStream


@dataclass(frozen=True)
class Batch:
    """One batch as a mixer, a mask or a training step sees it.

    Attributes:
        images: `[B, 3, H, W]` float, augmented and normalised (mean 0.5 and std 0.5 give [-1, 1]).
        labels: `[B]` int64 class numbers, or `[B, K]` float whose rows sum to 1.
        index: `[B]` int64, each image's position in the training subset; None for images from elsewhere.
        segments: `[B, H, W]` integer superpixel labels (0, 1, ... within an image), cropped and flipped together
            with the images; None where no mask needs them.
        labelled: False for images without labels, whose labels are -1.
        second: `[B, 3, H, W]`, the same images under other random augmentations; None where there are none.
    """

    images: Tensor
    labels: Tensor
    index: Tensor | None = None
    segments: Tensor | None = None
    second: Tensor | None = None
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Subset:
    """The images that training may use, resident on the training device.

    Attributes:
        images: `[N, 3, S, S]` uint8; of whole images `[N, 3, H, W]`, in whose upper left corner each image is.
        labels: `[N]` int64; -1 for images without labels, which stand at the end.
        num_classes: `K`.
        sizes: `[N, 2]` int64, heights and widths of whole images; None for squares, which fill `images`.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    sizes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: "Subset") -> "Subset":
        return Subset(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]), self.num_classes)

    def to(self, device: torch.device) -> "Subset":
        sizes = None if self.sizes is None else self.sizes.to(device)
        return Subset(self.images.to(device), self.labels.to(device), self.num_classes, sizes)


class LabelledImages(Protocol):
    """One part (training or test) of a data set: labels at once, pixels when asked for.

    A part whose images are no squares may also give them uncut; see `chimeramix.data.whole_images`.
    """

    classes: tuple[str, ...]
    """Names of the K classes; the label is the position in this tuple."""
    labels: Tensor
    """`[N]` int64 on the CPU, in data set order."""

    def read(self, indices: Sequence[int]) -> Tensor:
        """`[n, 3, S, S]` uint8 on the CPU: the images at `indices`, in that order."""
        ...


class DataSource(Protocol):
    """A data set that can be prepared (downloaded, checked) and read."""

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]

    def prepare(self) -> None:
        """Downloads what is missing and checks it; raises `UserError` where that can't be done."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the images are, beyond the configuration, as JSON values: part of every run's identity."""
        ...

    def train(self) -> LabelledImages: ...

    def test(self) -> LabelledImages: ...


class Segmentation(Protocol):
    """Which superpixels a mask needs; see `chimeramix.masks.segments.Segmentation`."""

    @property
    def scale(self) -> float: ...

    @property
    def sigma(self) -> float: ...

    @property
    def min_size(self) -> int: ...

    @property
    def size(self) -> int | None: ...


class Mask(Protocol):
    """A sampler of masks; see `chimeramix.masks`."""

    @property
    def segmentation(self) -> Segmentation | None:
        """None for a mask that needs no superpixels."""
        ...

    def check(self, size: int) -> None:
        """Raises `ValueError` where no mask of `size` x `size` positions can be sampled."""
        ...

    def __call__(self, first: Batch, partner: Batch, size: int, rng: RandomStream) -> Tensor:
        """The weight of the first image, `[B, 1, size, size]` float32 in [0, 1]; of a mask for N > 2 images, which
        gets N - 1 partners of each, the shares `[B, N, size, size]`. See `chimeramix.shares`."""
        ...
