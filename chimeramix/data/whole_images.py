"""A subset's images uncut, for augmentations that cut them themselves (`needs_whole`; see `chimeramix.augment`)."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from chimeramix.data.subset import TrainingImages
from chimeramix.types import Subset


class WholeImages(Protocol):
    """What a part of a data set has, beside that of `LabelledImages`, whose images may be no squares."""

    rectangles: bool
    """Whether this one's may."""

    def whole_sizes(self, indices: Sequence[int], longest: int) -> Tensor:
        """`[n, 2]` int64: heights and widths of the images, scaled down to at most `longest` pixels a side."""
        ...

    def read_whole(self, indices: Sequence[int], sizes: Tensor) -> Tensor:
        """`[n, 3, H, W]` uint8: each image at its size in the upper left corner, 0 beside it."""
        ...


def whole_subset(data: TrainingImages, size: int, longest: int, check: Callable[[int], None]) -> Subset:
    """The images uncut, where the data set has images that are no squares; else as squares of side `size`.

    Args:
        longest: pixels of a side, to which larger images are scaled down.
        check: called with the bytes that they take, before any is decoded.

    Raises:
        UserError: a file can't be decoded.
    """
    part: Any = data.part
    if not getattr(part, "rectangles", False):
        return data.subset(size)
    images: WholeImages = part
    sizes = images.whole_sizes(data.indices, longest)
    height, width = sizes.amax(0).tolist()
    check(3 * height * width * len(sizes))
    return Subset(images.read_whole(data.indices, sizes), data.labels, len(data.classes), sizes)
