"""Random crop with reflected borders and random horizontal flip (ChimeraMix 4.1, Brigato et al. 2021)."""

import torch
from torch import Tensor

from chimeramix.streams import RandomStream


class FlipCrop:
    """Crops a window of the image's own size out of the image padded by reflection, then flips it.

    Equals `torchvision.transforms.RandomCrop(S, padding, padding_mode="reflect")` followed by
    `RandomHorizontalFlip(flip)`, with one draw per sample. It is one gather: the padded image never exists.

    Args:
        flip: probability of a flip, in [0, 1].
        padding: pixels on each side; None takes S // 8, which is the papers' 4 at 32, 8 at 64 and 12 at 96 pixels.
    """

    def __init__(self, flip: float = 0.5, padding: int | None = None) -> None:
        if not 0 <= flip <= 1:
            raise ValueError(f"flip must be in [0, 1], got {flip}")
        if padding is not None and padding < 0:
            raise ValueError(f"padding must not be negative, got {padding}")
        self.flip = flip
        self.padding = padding

    def __call__(self, images: Tensor, segments: Tensor | None, rng: RandomStream) -> tuple[Tensor, Tensor | None]:
        """Takes `[B, C, S, S]` of any dtype and `[B, S, S]`; raises `ValueError` where padding reaches S."""
        batch, channels, size, _ = images.shape
        padding = size // 8 if self.padding is None else self.padding
        if padding >= size:
            raise ValueError(f"padding ({padding}) must be smaller than the image ({size} pixels)")
        offsets = rng.integers(2 * padding + 1, 2, batch, 1) - padding
        flipped = rng.uniform(batch, 1) < self.flip
        place = torch.arange(size, device=images.device)
        rows = _reflect(place + offsets[0], size)
        columns = _reflect(torch.where(flipped, size - 1 - place, place) + offsets[1], size)
        source = (rows[:, :, None] * size + columns[:, None, :]).flatten(1)
        images = images.flatten(2).gather(2, source[:, None].expand(-1, channels, -1)).view_as(images)
        if segments is not None:
            segments = segments.flatten(1).gather(1, source).view_as(segments)
        return images, segments


def _reflect(index: Tensor, size: int) -> Tensor:
    """Folds positions outside 0..size-1 back, without repeating the border pixel."""
    return (size - 1) - ((size - 1) - index.abs()).abs()
