"""Masks of superpixels against loops over samples that follow the rules literally."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.segmentation import felzenszwalb
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from chimeramix.masks.segments import Segmentation, SegmentMask, rank_by_first_pixel
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

RULES = ["range", "one", "bernoulli"]
COUNT, SIZE = 40, 32


def batch_of(segments: Tensor | None, count: int = COUNT) -> Batch:
    return Batch(torch.zeros(count, 3, 8, 8), torch.zeros(count, dtype=torch.long), None, segments)


def sample_masks(mask: SegmentMask, segments: Tensor, size: int = SIZE, seed: int = 0) -> Tensor:
    """`[B, size, size]` for the partners' maps."""
    count = len(segments)
    return mask(batch_of(None, count), batch_of(segments, count), size, RandomStream(seed))[:, 0]


def numbered_by_first_pixel(segments: np.ndarray) -> np.ndarray:
    """Labels in the order of their first pixels, one pixel after the other."""
    order: dict[int, int] = {}
    numbers = np.empty(segments.shape, dtype=np.int64)
    for position, label in np.ndenumerate(segments):
        numbers[position] = order.setdefault(int(label), len(order))
    return numbers


class Draws(random.Random):
    """Hands Python's `randrange(start, stop)` prepared numbers in [0, 1) instead of its own."""

    def __init__(self, *prepared: float) -> None:
        super().__init__()
        self._prepared = list(prepared)

    def randrange(self, start: int, stop: int) -> int:  # type: ignore[override]
        choices = range(start, stop)
        return choices[int(self._prepared.pop(0) * len(choices))]


def published_range(count: int, draws: random.Random) -> set[int]:
    """Two bounds among `count` labels, as the published code draws them; the upper one is exclusive."""
    lower = draws.randrange(0, max(count - 1, 1))
    upper = draws.randrange(lower + 1, max(lower + 2, count))
    return set(range(lower, upper))


@pytest.fixture(scope="module")
def whole_maps() -> Tensor:
    """`[40, 32, 32]`: scikit-image's superpixels of images of smooth noise, 20 pixels or more each."""
    generator = torch.Generator().manual_seed(0)
    images = F.interpolate(torch.randn(COUNT, 3, 6, 6, generator=generator), (SIZE, SIZE))
    maps = [
        felzenszwalb(image.numpy(), scale=60, sigma=0.8, min_size=20) for image in images.permute(0, 2, 3, 1).unbind()
    ]
    return torch.from_numpy(np.stack(maps)).to(torch.int16)


@pytest.fixture(scope="module")
def maps(whole_maps: Tensor) -> Tensor:
    """The same cropped and flipped: some numbers are cut away, and the rest is not in raster order."""
    return tv.horizontal_flip(tv.crop(tv.pad(whole_maps, [8] * 4, padding_mode="reflect"), 15, 3, SIZE, SIZE))


def test_the_example_maps_are_no_easy_ones(whole_maps: Tensor, maps: Tensor) -> None:
    for one in whole_maps:  # as scikit-image numbers them
        assert np.array_equal(numbered_by_first_pixel(one.numpy()), one.numpy())
    cut_away = sum(len(one.unique()) > len(view.unique()) for one, view in zip(whole_maps, maps, strict=True))
    reordered = sum(not np.array_equal(numbered_by_first_pixel(one.numpy()), one.numpy()) for one in maps)
    assert cut_away > 10
    assert reordered > 30


def test_numbers_follow_the_view_in_raster_order(maps: Tensor) -> None:
    limit = int(maps.max()) + 10
    rank, count = rank_by_first_pixel(maps.long(), limit)
    for sample in range(COUNT):
        expected = numbered_by_first_pixel(maps[sample].numpy())
        assert np.array_equal(rank[sample][maps[sample].long()].numpy(), expected)
        assert int(count[sample]) == expected.max() + 1
        assert sorted(rank[sample].tolist()) == list(range(limit))  # absent labels come last


def test_rank_of_a_small_map() -> None:
    rank, count = rank_by_first_pixel(torch.tensor([[[3, 3], [0, 5]]]), 6)
    assert count.tolist() == [[3]]
    assert rank[0, [3, 0, 5]].tolist() == [0, 1, 2]


@pytest.mark.parametrize("select", RULES)
@pytest.mark.parametrize("size", [32, 16, 8, 12, 64])
def test_rules_sample_by_sample(select: str, size: int, maps: Tensor) -> None:
    """The same draws, the rule as a loop over labels, and the binary map brought to size by torch's nearest."""
    sampler = SegmentMask(select, scale=60, min_size=20)
    rng = RandomStream(1)
    if select == "bernoulli":
        coins = rng.uniform(COUNT, SIZE * SIZE // 20) < 0.5
    else:
        uniform = [rng.uniform(COUNT, 1)[:, 0].tolist() for _ in range(2 if select == "range" else 1)]
    masks = sample_masks(sampler, maps, size, seed=1)
    for sample in range(COUNT):
        numbers = numbered_by_first_pixel(maps[sample].numpy())
        count = int(numbers.max()) + 1
        if select == "bernoulli":
            binary = coins[sample][maps[sample].long()]
        else:
            draws = Draws(*(draw[sample] for draw in uniform))
            chosen = published_range(count, draws) if select == "range" else {draws.randrange(0, count)}
            binary = torch.from_numpy(np.isin(numbers, list(chosen)))
        expected = F.interpolate(binary[None, None].float(), size=(size, size), mode="nearest")[0, 0]
        assert torch.equal(masks[sample], expected)


@pytest.mark.parametrize(
    ("count", "published"), [(1, [1.0]), (2, [1.0, 0.0]), (3, [0.5, 0.75, 0.0]), (5, [0.25, 0.44, 0.54, 0.52, 0.0])]
)
def test_how_often_range_selects_each_label(count: int, published: list[float]) -> None:
    """Inner ones most, the last one never, unless it is the only one; the exact figures come from all bounds."""
    exact = [0.0] * count
    lowers = range(max(count - 1, 1))
    for lower in lowers:
        uppers = range(lower + 1, max(lower + 2, count))
        for upper in uppers:
            for label in range(lower, upper):
                exact[label] += 1 / len(lowers) / len(uppers)
    assert exact == pytest.approx(published, abs=0.005)
    stripes = torch.arange(count).repeat_interleave(4).view(1, -1, 1).expand(20_000, 4 * count, 4 * count)
    masks = sample_masks(SegmentMask("range", min_size=1), stripes, 4 * count)
    assert masks[:, ::4, 0].mean(0).tolist() == pytest.approx(exact, abs=0.018)  # five standard deviations


@pytest.mark.parametrize("select", ["range", "one"])
def test_a_mask_selects_something(select: str, maps: Tensor) -> None:
    for seed in range(20):
        masks = sample_masks(SegmentMask(select, min_size=20), maps, seed=seed)
        assert masks.amax((1, 2)).min() == 1


def test_a_thin_segment_may_fall_between_the_positions_of_a_small_mask() -> None:
    """Column 1 of 16 is a segment, which nearest neighbour leaves out at 4 positions."""
    stripes = torch.where(torch.arange(16) == 1, 0, 1).expand(3, 16, 16).clone()
    assert sample_masks(SegmentMask("one", min_size=1), stripes, 16).amax((1, 2)).min() == 1
    chosen = torch.stack([sample_masks(SegmentMask("one", min_size=1), stripes, 4, seed) for seed in range(20)])
    assert set(chosen.mean((2, 3)).flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("select", ["range", "one"])
def test_a_single_segment_is_selected_whole(select: str) -> None:
    assert sample_masks(SegmentMask(select), torch.zeros(3, 16, 16, dtype=torch.int16), 16).min() == 1


def test_one_takes_each_segment_equally_often_whatever_its_size() -> None:
    """A view of three segments, with labels 4, 1 and 7 of 16, of 12, 3 and 1 pixels."""
    view = torch.tensor([[4, 4, 4, 4], [4, 4, 4, 4], [4, 4, 4, 4], [1, 1, 1, 7]])
    masks = sample_masks(SegmentMask("one", min_size=1), view.expand(9000, 4, 4), 4)
    shares = [masks[:, row, column].mean().item() for row, column in ((0, 0), (3, 0), (3, 3))]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.025)  # five standard deviations
    assert torch.equal(masks[:, 0, 0] + masks[:, 3, 0] + masks[:, 3, 3], torch.ones(9000))


def test_bernoulli_throws_a_fair_coin_for_each_segment() -> None:
    """All 8 subsets of three segments are equally likely."""
    view = torch.tensor([[2, 2], [0, 1]])
    masks = sample_masks(SegmentMask("bernoulli", min_size=1), view.expand(8000, 2, 2), 2)
    subset = (masks[:, 1, 0] + 2 * masks[:, 1, 1] + 4 * masks[:, 0, 0]).long()
    assert (subset.bincount(minlength=8) / 8000).tolist() == pytest.approx([1 / 8] * 8, abs=0.0185)
    assert torch.equal(masks[:, 0, 0], masks[:, 0, 1])


def test_the_map_is_the_partners_or_the_first_images(maps: Tensor) -> None:
    by_partner = SegmentMask(source="partner", min_size=20)
    by_first = SegmentMask(source="first", min_size=20)
    other = maps.flip(-2)
    both = batch_of(maps), batch_of(other)
    assert torch.equal(by_partner(*both, SIZE, RandomStream(0))[:, 0], sample_masks(by_partner, other))
    assert torch.equal(by_first(*both, SIZE, RandomStream(0))[:, 0], sample_masks(by_partner, maps))
    with pytest.raises(ValueError, match="the partner batch has no segments"):
        by_partner(batch_of(maps), batch_of(None), SIZE, RandomStream(0))
    with pytest.raises(ValueError, match="the first batch has no segments"):
        by_first(batch_of(None), batch_of(maps), SIZE, RandomStream(0))


@pytest.mark.parametrize("select", RULES)
def test_contract(select: str, maps: Tensor) -> None:
    before = maps.clone()
    sampler = SegmentMask(select, min_size=20)
    sampler.check(1)
    mask = sampler(batch_of(None), batch_of(maps), 16, RandomStream(0))
    assert mask.shape == (COUNT, 1, 16, 16)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(mask, sampler(batch_of(None), batch_of(maps), 16, RandomStream(0)))
    assert not torch.equal(mask, sampler(batch_of(None), batch_of(maps), 16, RandomStream(1)))
    assert torch.equal(maps, before)


def test_smallest_segments_are_as_many_as_fit() -> None:
    """64 segments of exactly min_size pixels: the most there can be."""
    cells = torch.arange(64).view(8, 8).repeat_interleave(4, 0).repeat_interleave(4, 1).expand(COUNT, SIZE, SIZE)
    for select in RULES:
        masks = sample_masks(SegmentMask(select, min_size=16), cells)
        assert torch.equal(masks, masks[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_a_map_of_another_size_has_more_segments_than_its_pixels_tell() -> None:
    """Segmented at 64 pixels and brought to 32: up to 64 * 64 / 60 labels."""
    high = torch.full((1, 32, 32), 67)
    masks = sample_masks(SegmentMask("one", min_size=60, segment_size=64), high)
    assert masks.min() == 1


def test_the_superpixels_it_asks_for() -> None:
    assert SegmentMask().segmentation == Segmentation(scale=60, sigma=0.8, min_size=60, size=None)
    assert SegmentMask(scale=400, segment_size=96).segmentation == Segmentation(400, 0.8, 400, 96)
    assert SegmentMask(scale=400, min_size=9, sigma=0).segmentation == Segmentation(400, 0, 9, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"select": "two"}, "select must be range, one or bernoulli, got two"),
        ({"source": "second"}, "source must be partner, first or random, got second"),
        ({"scale": 0}, "scale must be positive"),
        ({"sigma": -1}, "sigma not negative"),
        ({"min_size": 0}, "min_size at least 1"),
        ({"segment_size": 0}, "segment_size must be at least 1"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentMask(**arguments)  # type: ignore[arg-type]
