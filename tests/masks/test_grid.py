"""The grid mask against enlarging and cropping sample by sample."""

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from chimeramix.masks.grid import GridMask
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


def batch_of(count: int) -> Batch:
    return Batch(torch.zeros(count, 3, 8, 8), torch.zeros(count, dtype=torch.long))


def sample_masks(mask: GridMask, count: int, size: int, seed: int = 0) -> Tensor:
    """`[count, size, size]`."""
    return mask(batch_of(count), batch_of(count), size, RandomStream(seed))[:, 0]


def runs(values: Tensor) -> list[int]:
    """Lengths of the stretches of equal values."""
    return values.unique_consecutive(return_counts=True)[1].tolist()


@pytest.mark.parametrize("size", [16, 24, 32, 64, 96])
@pytest.mark.parametrize("cells", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("offset", ["batch", "sample"])
def test_equals_enlarging_and_cropping_each_sample(size: int, cells: int, offset: str) -> None:
    """The same coins and offsets; torch's nearest neighbour enlarges to one block more, of which a window is cut."""
    mask = GridMask(cells, offset)(batch_of(5), batch_of(5), size, RandomStream(3))
    assert mask.shape == (5, 1, size, size)
    assert mask.dtype == torch.float32
    rng = RandomStream(3)
    coins = rng.integers(2, 5, cells, cells)
    pad = size // cells
    offsets = rng.integers(pad, 2, 1 if offset == "batch" else 5, 1).expand(2, 5, 1)
    for sample in range(5):
        large = F.interpolate(coins[sample][None, None].float(), size=(size + pad, size + pad), mode="nearest")
        top, left = offsets[0, sample], offsets[1, sample]
        assert torch.equal(mask[sample, 0], large[0, 0, top : top + size, left : left + size])


def test_every_number_of_cells_on_every_size() -> None:
    """Also where blocks are not whole numbers of pixels, as 6 cells on 64 positions are."""
    for size in range(1, 100):
        for cells in range(1, min(size, 12) + 1):
            mask = GridMask(cells, "none")(batch_of(2), batch_of(2), size, RandomStream(3))
            coins = RandomStream(3).integers(2, 2, cells, cells)[:, None].float()
            assert torch.equal(mask, F.interpolate(coins, size=(size, size), mode="nearest")), (cells, size)


@pytest.mark.parametrize("size", [16, 24, 32, 64, 96])
def test_without_offset_it_is_plain_enlargement(size: int) -> None:
    masks = sample_masks(GridMask(4, "none"), 3, size)
    coins = RandomStream(0).integers(2, 3, 4, 4).float()
    assert torch.equal(masks, coins.repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2))


@pytest.mark.parametrize(
    ("size", "blocks", "offsets"),
    [(16, [5, 5, 5, 5], 4), (24, [8, 7, 8, 7], 6), (32, [10] * 4, 8), (64, [20] * 4, 16), (96, [30] * 4, 24)],
)
def test_block_sizes_and_offsets(size: int, blocks: list[int], offsets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enlarged coins have blocks of the published sizes; windows start at 0 to `offsets` - 1, equally often."""
    chessboard = (torch.arange(4)[:, None] + torch.arange(4)) % 2
    rng = RandomStream(0)
    draw = rng.integers
    monkeypatch.setattr(
        rng, "integers", lambda high, *shape: chessboard.expand(shape) if high == 2 else draw(high, *shape)
    )
    count = 300 * offsets
    masks = GridMask(4, "sample")(batch_of(count), batch_of(count), size, rng)[:, 0]
    borders = torch.tensor(blocks).cumsum(0)
    for lines in (masks[:, 0, :], masks[:, :, 0]):
        starts = torch.tensor([runs(line)[0] for line in lines])  # what the window leaves of the first block
        counts = (blocks[0] - starts).bincount(minlength=offsets)
        assert len(counts) == offsets
        assert chisquare(counts).pvalue > 0.001
        for line, start in zip(lines[:50], starts[:50], strict=True):
            cut = blocks[0] - int(start)
            expected = [start, *blocks[1:]]
            expected[-1] -= max(int(borders[-1]) - cut - size, 0)
            assert runs(line)[: len(expected)] == [int(length) for length in expected if length > 0]


def test_one_offset_for_the_batch_or_one_per_sample() -> None:
    """Where columns change in any row of any sample: 3 places if all have one offset."""

    def places(offset: str) -> int:
        masks = sample_masks(GridMask(4, offset), 200, 64, seed=1)
        return int((masks[:, :, 1:] != masks[:, :, :-1]).any(1).any(0).sum())

    assert places("batch") == 3
    assert places("none") == 3
    assert places("sample") > 40


def test_mean_and_spread() -> None:
    """Mean 0.5 and standard deviation of a mask's mean 0.14 at 16 positions.

    Exactly: 1/2 times the root of the expected sum of squared block shares, over offsets 0 to 3 on each axis.
    """
    squares = 0.0
    for cut in range(4):
        widths = [5 - cut, 5, 5, 1 + cut]
        squares += sum((width / 16) ** 2 for width in widths) / 4
    exact = 0.5 * squares  # the root of (1/4 * squares * squares), rows and columns being independent
    assert exact == pytest.approx(0.14, abs=0.005)
    means = sample_masks(GridMask(4, "sample"), 20_000, 16).mean((1, 2))
    assert means.mean() == pytest.approx(0.5, abs=5 * exact / 20_000**0.5)
    assert means.std() == pytest.approx(exact, rel=0.025)  # five standard deviations


def test_one_block_takes_one_image_whole() -> None:
    means = sample_masks(GridMask(1), 1000, 16).mean((1, 2))
    assert set(means.tolist()) == {0.0, 1.0}
    assert means.mean() == pytest.approx(0.5, abs=0.08)  # five standard deviations


def test_as_many_coins_as_positions() -> None:
    """Every position has a coin of its own where nothing is enlarged."""
    coins = RandomStream(0).integers(2, 2, 16, 16)
    assert torch.equal(sample_masks(GridMask(16, "none"), 2, 16), coins.float())


def test_same_seed_same_masks() -> None:
    assert torch.equal(sample_masks(GridMask(), 4, 24, seed=0), sample_masks(GridMask(), 4, 24, seed=0))
    assert not torch.equal(sample_masks(GridMask(), 4, 24, seed=0), sample_masks(GridMask(), 4, 24, seed=1))


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mix_size \(20\) must be at most the 16 positions"):
        GridMask(20).check(16)
    with pytest.raises(ValueError, match=r"mix_size \(20\) must be at most the 16 positions"):
        sample_masks(GridMask(20), 1, 16)
    GridMask(16).check(16)
    with pytest.raises(ValueError, match="mix_size must be at least 1, got 0"):
        GridMask(0)
    with pytest.raises(ValueError, match="offset must be batch, sample or none, got pixel"):
        GridMask(4, "pixel")  # type: ignore[arg-type]
