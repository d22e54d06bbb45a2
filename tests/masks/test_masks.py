"""Masks against loops over samples that follow the definitions literally."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.segmentation import felzenszwalb

from chimeramix.masks.grid import GridMask
from chimeramix.masks.segments import SegmentMask, rank_by_first_pixel
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


def batch_of(count: int, segments: torch.Tensor | None = None) -> Batch:
    return Batch(torch.zeros(count, 3, 8, 8), torch.zeros(count, dtype=torch.long), None, segments)


@pytest.mark.parametrize("size", [16, 24, 32, 64, 96])
@pytest.mark.parametrize("offset", ["batch", "sample"])
def test_grid_equals_enlarging_and_cropping_each_sample(size: int, offset: str) -> None:
    """The same coins and offsets, enlarged by torch's nearest neighbour to one block more and cut out."""
    batch = batch_of(5)
    mask = GridMask(4, offset)(batch, batch, size, RandomStream(3))
    rng = RandomStream(3)
    coins = rng.integers(2, 5, 4, 4)
    pad = size // 4
    offsets = rng.integers(pad, 2, 1 if offset == "batch" else 5, 1).expand(2, 5, 1)
    for sample in range(5):
        large = F.interpolate(coins[sample][None, None].float(), size=(size + pad, size + pad), mode="nearest")
        top, left = offsets[0, sample], offsets[1, sample]
        assert torch.equal(mask[sample, 0], large[0, 0, top : top + size, left : left + size])


def test_grid_without_offset_is_plain_enlargement() -> None:
    mask = GridMask(4, "none")(batch_of(2), batch_of(2), 16, RandomStream(0))
    coins = RandomStream(0).integers(2, 2, 4, 4)
    assert torch.equal(mask[:, 0], coins.float().repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_grid_statistics() -> None:
    """Mean 0.5 and a standard deviation of the mean of 0.14 at 16 positions (blocks of 5, offsets 0 to 3)."""
    batch = batch_of(20_000)
    means = GridMask(4, "sample")(batch, batch, 16, RandomStream(0)).mean((1, 2, 3))
    assert means.mean() == pytest.approx(0.5, abs=0.005)
    assert means.std() == pytest.approx(0.14, abs=0.005)


def test_grid_of_one_block_takes_one_image_whole() -> None:
    mask = GridMask(1)(batch_of(50), batch_of(50), 16, RandomStream(0))
    assert set(mask.mean((1, 2, 3)).tolist()) == {0.0, 1.0}


def test_grid_refuses_more_coins_than_positions() -> None:
    with pytest.raises(ValueError, match=r"mix_size \(20\) must be at most the 16 positions"):
        GridMask(20).check(16)


def official_range(count: int, first: float, second: float) -> set[int]:
    """The published rule for `count` segments and two draws in [0, 1)."""
    lower = int(first * max(count - 1, 1))
    choices = range(lower + 1, max(lower + 2, count))
    upper = choices[int(second * len(choices))]
    return set(range(lower, upper))


def numbered_by_first_pixel(segments: np.ndarray) -> np.ndarray:
    order: dict[int, int] = {}
    numbers = np.empty_like(segments)
    for position, label in np.ndenumerate(segments):
        numbers[position] = order.setdefault(int(label), len(order))
    return numbers


@pytest.fixture(scope="module")
def segments() -> torch.Tensor:
    """`[40, 32, 32]`: scikit-image's superpixels of smooth random images, each flipped and with a part cut away, so
    that numbers neither start at 0 nor come in raster order."""
    images = F.interpolate(torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(0)), (40, 40))
    maps = [felzenszwalb(image.permute(1, 2, 0).numpy(), scale=60, sigma=0.8, min_size=60) for image in images]
    return torch.from_numpy(np.stack(maps))[:, 8:, :32].flip(-1)


@pytest.mark.parametrize("select", ["range", "one"])
@pytest.mark.parametrize("size", [32, 8])
def test_segment_rules_sample_by_sample(select: str, size: int, segments: torch.Tensor) -> None:
    count = len(segments)
    mask_sampler = SegmentMask(select, scale=60, min_size=20)
    mask = mask_sampler(batch_of(count), batch_of(count, segments), size, RandomStream(1))
    rng = RandomStream(1)
    draws = [rng.uniform(count, 1)[:, 0].tolist() for _ in range(2 if select == "range" else 1)]
    for sample in range(count):
        numbers = numbered_by_first_pixel(segments[sample].numpy())
        n = numbers.max() + 1
        chosen = (
            official_range(n, draws[0][sample], draws[1][sample]) if select == "range" else {int(draws[0][sample] * n)}
        )
        expected = torch.from_numpy(np.isin(numbers, list(chosen)))
        assert torch.equal(mask[sample, 0], expected[:: 32 // size, :: 32 // size].float())


def test_range_selects_inner_segments_most_and_the_last_never() -> None:
    """Five segments: selected with .25, .44, .54, .52 and 0 (the rule's expectation, enumerated by hand)."""
    stripes = torch.arange(5).repeat_interleave(4).view(1, 20, 1).expand(1, 20, 20)
    count = 20_000
    mask = SegmentMask("range", min_size=80)(
        batch_of(count), batch_of(count, stripes.expand(count, 20, 20)), 20, RandomStream(0)
    )
    exact = [0.0] * 5
    for lower in range(4):
        uppers = range(lower + 1, max(lower + 2, 5))
        for upper in uppers:
            for label in range(lower, upper):
                exact[label] += 1 / 4 / len(uppers)
    assert exact == pytest.approx([0.25, 0.44, 0.54, 0.52, 0.0], abs=0.005)
    assert mask[:, 0, ::4, 0].mean(0).tolist() == pytest.approx(exact, abs=0.015)


def test_a_single_segment_is_selected_whole() -> None:
    one = torch.zeros(3, 16, 16, dtype=torch.int16)
    for select in ("range", "one"):
        assert SegmentMask(select)(batch_of(3), batch_of(3, one), 16, RandomStream(0)).min() == 1


def test_bernoulli_selects_each_segment_by_a_coin(segments: torch.Tensor) -> None:
    many = segments.repeat(50, 1, 1)
    mask = SegmentMask("bernoulli", min_size=20)(batch_of(2000), batch_of(2000, many), 32, RandomStream(0))
    assert mask.mean() == pytest.approx(0.5, abs=0.01)
    for sample in range(40):  # constant within a segment
        for label in segments[sample].unique():
            assert len(mask[sample, 0][many[sample] == label].unique()) == 1


def test_the_map_is_the_partners_or_the_first_images(segments: torch.Tensor) -> None:
    plain = batch_of(40)
    mapped = batch_of(40, segments)
    by_partner = SegmentMask(source="partner", min_size=20)(plain, mapped, 32, RandomStream(0))
    by_first = SegmentMask(source="first", min_size=20)(mapped, plain, 32, RandomStream(0))
    assert torch.equal(by_partner, by_first)
    with pytest.raises(ValueError, match="the partner batch has no segments"):
        SegmentMask()(mapped, plain, 32, RandomStream(0))


def test_rank_puts_absent_labels_last() -> None:
    rank, count = rank_by_first_pixel(torch.tensor([[[3, 3], [0, 5]]]), 6)
    assert count.tolist() == [[3]]
    assert rank[0, [3, 0, 5]].tolist() == [0, 1, 2]
    assert sorted(rank[0].tolist()) == list(range(6))
