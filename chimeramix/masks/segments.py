"""ChimeraMix+Seg: superpixels of one of the two images choose where the first image shows (ChimeraMix 3.2)."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.masks.assignment import Assignment, Rule, mask_of
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


@dataclass(frozen=True)
class Segmentation:
    """Felzenszwalb's superpixels (scikit-image), computed once per image of the subset.

    Attributes:
        scale: larger means larger superpixels (60 for ciFAIR, 400 for STL-10 in the paper).
        sigma: width of the Gaussian smoothing, in pixels.
        min_size: smallest superpixel, in pixels.
        size: side at which the image is segmented, or None for the image's own; the map is then brought to the
            image's side by nearest neighbour.
    """

    scale: float
    sigma: float
    min_size: int
    size: int | None = None

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.sigma < 0 or self.min_size < 1:
            raise ValueError(
                "scale must be positive, sigma not negative and min_size at least 1, "
                f"got {self.scale}, {self.sigma} and {self.min_size}"
            )
        if self.size is not None and self.size < 1:
            raise ValueError(f"segment_size must be at least 1, got {self.size}")
        if self.size is not None and self.size**2 < 2 * self.min_size:
            raise ValueError(
                f"segment_size={self.size} leaves no room for two superpixels of min_size={self.min_size} pixels"
            )


class SegmentMask:
    """Selects some superpixels of an image's map; there the first image shows, elsewhere its partner.

    Superpixels are numbered 0..n-1 by their first pixel in raster order within the view at hand, as scikit-image
    numbers them: cropping and flipping the stored map changes the order, and superpixels that the crop cut off do not
    count. (The published code segments the augmented view itself, on every access.)

    Args:
        select: `range` takes a contiguous range of numbers (published code; about 0.27 to 0.39 of the area); `one`
            takes one superpixel, uniformly (the paper's text; 0.06 to 0.23). Both select at least one superpixel, but a
            thin one may fall between the positions of a smaller mask: of crops of photographs, segmented at 64 pixels,
            0.7 % of the masks of 16 positions were empty with `range` and 2.9 % with `one`. `bernoulli` takes each
            with probability 1/2 (the paper's Figure 3).
        source: whose map: the `partner`'s (published code; of several partners the first one's), the `first` image's
            (paper), or that of a `random` one of the images, drawn for each sample.
        scale, sigma, min_size: see `Segmentation`; min_size None takes the scale, as the paper does.
        segment_size: side at which images are segmented; None is the size of the training images, thus 64 while the
            generator trains and 32 while the classifier does for ciFAIR, as in the published code.
        images: N, of which each superpixel shows one. More than two are after HydraMix (Reinders, Schubert and
            Rosenhahn 2025), of which the rule was not known here.
        assign: how each superpixel gets its image: None as `select` says, which is for two images, and of more
            `uniform`; `uniform` with equal chances; `dirichlet` with chances that are drawn for each sample. See
            `chimeramix.masks.assignment`.
        concentration: of these chances; 1 takes all equally often.
    """

    def __init__(
        self,
        select: Literal["range", "one", "bernoulli"] = "range",
        source: Literal["partner", "first", "random"] = "partner",
        scale: float = 60,
        sigma: float = 0.8,
        min_size: int | None = None,
        segment_size: int | None = None,
        images: int = 2,
        assign: Rule | None = None,
        concentration: float = 1.0,
    ) -> None:
        if select not in ("range", "one", "bernoulli"):
            raise ValueError(f"select must be range, one or bernoulli, got {select}")
        if source not in ("partner", "first", "random"):
            raise ValueError(f"source must be partner, first or random, got {source}")
        self._assignment = Assignment(images, assign or "uniform", concentration)
        self._selects = assign is None and images == 2
        if not self._selects and select != "range":
            raise ValueError(
                f"select={select} says which superpixels of two images show the first: it has no effect with "
                f"images={images} and assign={self._assignment.rule}"
            )
        self.select = select
        self.source = source
        self.images = images
        min_size = int(scale) if min_size is None else min_size
        self.segmentation = Segmentation(scale, sigma, min_size, segment_size)

    def check(self, size: int) -> None:
        """Every size is possible."""

    def __call__(self, first: Batch, partner: Batch, size: int, rng: RandomStream) -> Tensor:
        """Binary mask float32: `[B, 1, size, size]` for two images, `[B, N, size, size]` for more. Raises `ValueError`
        for batches without segments."""
        segments = self._source(first, partner, rng).long()
        small = F.interpolate(segments[:, None].float(), size=(size, size), mode="nearest").long()
        if self._selects:
            return self._select(segments, rng).gather(1, small.flatten(1)).view_as(small).float()
        owner = self._assignment.draw(rng, len(first), self._most_segments(segments.shape[-1]))
        return mask_of(owner.gather(1, small.flatten(1)).view_as(small)[:, 0], self.images)

    def _source(self, first: Batch, partner: Batch, rng: RandomStream) -> Tensor:
        """`[B, H, W]`: the maps whose superpixels are used."""
        for name, batch in (("first", first), ("partner", partner)):
            if batch.segments is None and self.source in (name, "random"):
                raise ValueError(f"the {name} batch has no segments")
        if self.source == "first":
            assert first.segments is not None
            return first.segments
        assert partner.segments is not None
        if self.source == "partner":
            return partner.segments[: len(first)]
        assert first.segments is not None
        number = rng.integers(self.images, len(first))
        place = number * len(first) + torch.arange(len(first), device=number.device)
        return torch.cat([first.segments, partner.segments])[place]

    def _select(self, segments: Tensor, rng: RandomStream) -> Tensor:
        """`[B, L]` bool: which labels are selected, L an upper bound of the number of labels."""
        batch = len(segments)
        limit = self._most_segments(segments.shape[-1])
        if self.select == "bernoulli":
            return rng.uniform(batch, limit) < 0.5
        rank, count = rank_by_first_pixel(segments, limit)
        if self.select == "one":
            return rank == _uniform_below(count, rng)
        lower = _uniform_below((count - 1).clamp(min=1), rng)
        # Upper end uniform in {lower + 1, ..., max(lower + 2, n) - 1}, exclusive: n = 1 selects everything and the last
        # number of a larger map never is.
        upper = lower + 1 + _uniform_below(torch.maximum(lower + 2, count) - (lower + 1), rng)
        return (rank >= lower) & (rank < upper)

    def _most_segments(self, size: int) -> int:
        """Superpixels have at least min_size pixels: a bound without reading from the device."""
        side = self.segmentation.size or size
        return max(side * side // self.segmentation.min_size, 1)


def rank_by_first_pixel(segments: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Numbers the labels present in each map by their first pixel in raster order.

    Args:
        segments: `[B, H, W]` int64 in 0..limit-1.
        limit: number of possible labels.

    Returns:
        rank `[B, limit]` int64 (absent labels come last) and the number of present labels `[B, 1]` int64.
    """
    flat = segments.flatten(1)
    pixels = flat.shape[1]
    raster = torch.arange(pixels, device=flat.device).expand_as(flat)
    first = torch.full((len(flat), limit), pixels, device=flat.device).scatter_reduce(1, flat, raster, "amin")
    order = first.argsort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(limit, device=flat.device).expand_as(order))
    return rank, (first < pixels).sum(1, keepdim=True)


def _uniform_below(high: Tensor, rng: RandomStream) -> Tensor:
    """int64, uniform in 0..high-1 for each element of `high` `[B, 1]`."""
    draw = rng.uniform(*high.shape) * high
    return torch.minimum(draw.long(), high - 1)  # the product may round up to `high`
