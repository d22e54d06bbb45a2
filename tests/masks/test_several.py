"""Masks for more than two images against loops over places, and how often each image shows."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from chimeramix.masks import GridMask, SegmentMask
from chimeramix.masks.assignment import Assignment
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

COUNT, SIZE = 6, 32


def segments(count: int = COUNT, seed: int = 0) -> Tensor:
    """`[count, 32, 32]`: squares of 8 pixels, numbered differently in each map."""
    place = torch.arange(SIZE) // 8
    squares = place[:, None] * 4 + place
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(16, generator=generator)[squares] for _ in range(count)])


def batches(images: int, count: int = COUNT) -> tuple[Batch, Batch]:
    """A batch and its partners, all with other superpixels."""
    maps = segments(images * count)
    first, partner = maps[:count], maps[count:]
    return tuple(Batch(torch.zeros(len(m), 3, 8, 8), torch.zeros(len(m)).long(), None, m) for m in (first, partner))  # type: ignore[return-value]


@pytest.mark.parametrize(("images", "assign"), [(3, "uniform"), (4, "dirichlet"), (8, "uniform")])
@pytest.mark.parametrize("offset", ["batch", "sample", "none"])
def test_grids_place_by_place(images: int, assign: Any, offset: Any) -> None:
    """The same draws of cells and offsets; torch's nearest neighbour enlarges, a window is cut."""
    mask = GridMask(4, offset, images, assign)(*batches(images), 16, RandomStream(3))
    assert mask.shape == (COUNT, images, 16, 16)
    assert mask.dtype == torch.float32
    rng = RandomStream(3)
    owners = Assignment(images, assign, 1).draw(rng, COUNT, 4, 4)
    margin = 0 if offset == "none" else 4
    offsets = torch.zeros(2, COUNT, 1).long()
    if margin:
        offsets = rng.integers(margin, 2, 1 if offset == "batch" else COUNT, 1).expand(2, COUNT, 1)
    for sample in range(COUNT):
        large = F.interpolate(owners[sample][None, None].float(), size=(16 + margin,) * 2, mode="nearest")[0, 0]
        for row in range(16):
            for column in range(16):
                owner = int(large[row + offsets[0, sample], column + offsets[1, sample]])
                assert mask[sample, :, row, column].tolist() == [float(number == owner) for number in range(images)]


@pytest.mark.parametrize("source", ["partner", "first", "random"])
@pytest.mark.parametrize("assign", [None, "uniform", "dirichlet"])
def test_superpixels_place_by_place(source: Any, assign: Any) -> None:
    """Every superpixel of the source's map shows one image; of several partners the first is `partner`."""
    images, size = 3, 16
    first, partner = batches(images)
    mask = SegmentMask(source=source, min_size=60, images=images, assign=assign)(first, partner, size, RandomStream(1))
    rng = RandomStream(1)
    assert first.segments is not None
    assert partner.segments is not None
    maps = [first.segments, *partner.segments.chunk(2)]
    numbers = {"first": [0] * COUNT, "partner": [1] * COUNT}.get(source) or rng.integers(3, COUNT).tolist()
    owners = Assignment(images, assign or "uniform", 1).draw(rng, COUNT, SIZE * SIZE // 60)
    for sample in range(COUNT):
        for row in range(size):
            for column in range(size):
                label = int(maps[numbers[sample]][sample, 2 * row, 2 * column])
                owner = int(owners[sample, label])
                assert mask[sample, :, row, column].tolist() == [float(number == owner) for number in range(images)]


def test_two_images_superpixels_by_chance_are_one_weight() -> None:
    """A rule may be chosen for two images as well; then `select` has nothing to say."""
    first, partner = batches(2)
    mask = SegmentMask(min_size=60, assign="uniform")(first, partner, SIZE, RandomStream(1))
    coins = RandomStream(1).integers(2, COUNT, SIZE * SIZE // 60)
    assert mask.shape == (COUNT, 1, SIZE, SIZE)
    for sample in range(COUNT):
        assert partner.segments is not None
        assert torch.equal(mask[sample, 0], coins[sample][partner.segments[sample]].float())


@pytest.mark.parametrize("images", [2, 3, 5])
def test_each_image_has_the_same_chance(images: int) -> None:
    owners = Assignment(images, "uniform", 1).draw(RandomStream(0), 400, 5, 5)
    assert chisquare(owners.flatten().bincount(minlength=images)).pvalue > 0.001


@pytest.mark.parametrize(("images", "concentration"), [(2, 1.0), (3, 0.5), (4, 1.0), (8, 5.0)])
def test_dirichlets_shares_have_their_mean_and_variance(images: int, concentration: float) -> None:
    """Shares of very many places of a sample are its chances: mean 1 / N, variance (N - 1) / (N^2 (N a + 1)), and
    covariance -1 / (N^2 (N a + 1)) of two images' (Kotz, Balakrishnan & Johnson 2000, chapter 49)."""
    samples, places = 4000, 2000
    owners = Assignment(images, "dirichlet", concentration).draw(RandomStream(0), samples, places)
    shares = torch.stack([(owners == number).double().mean(1) for number in range(images)], 1)
    scale = images**2 * (images * concentration + 1)
    variance = (images - 1) / scale
    assert shares.mean(0).tolist() == pytest.approx([1 / images] * images, abs=5 * (variance / samples) ** 0.5)
    assert shares.var(0).tolist() == pytest.approx([variance] * images, rel=0.2)
    assert float(shares.T.cov()[0, 1]) == pytest.approx(-1 / scale, rel=0.25)


def test_an_image_without_chance_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of 0 at either end and in the middle, with draws from 0 upwards."""
    rng = RandomStream(0)
    shares = torch.tensor([[0, 0.5, 0, 0.5, 0], [1.0, 0, 0, 0, 0], [0, 0, 0, 0, 1.0]])
    draws = torch.tensor([0, 0.25, 0.5, 0.75, 1 - 2**-24]).repeat(3, 1)
    monkeypatch.setattr(rng, "dirichlet", lambda _: shares)
    monkeypatch.setattr(rng, "uniform", lambda *_: draws)
    owners = Assignment(5, "dirichlet", 1).draw(rng, 3, 5)
    assert owners.tolist() == [[1, 1, 3, 3, 3], [0] * 5, [4] * 5]


def test_small_concentrations_leave_most_to_one_image() -> None:
    def largest(concentration: float) -> float:
        owners = Assignment(4, "dirichlet", concentration).draw(RandomStream(0), 500, 64)
        return float(torch.stack([(owners == number).float().mean(1) for number in range(4)]).amax(0).mean())

    assert largest(0.01) > 0.97
    assert largest(1000) < 0.4


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (GridMask, {"images": 1}, "images must be at least 2, got 1"),
        (GridMask, {"assign": "even"}, "assign must be uniform or dirichlet, got even"),
        (GridMask, {"assign": "dirichlet", "concentration": 0}, "concentration must be at least 0.01, got 0"),
        (GridMask, {"images": 4, "concentration": 2}, "concentration=2 has no effect without assign=dirichlet"),
        (SegmentMask, {"images": 0}, "images must be at least 2, got 0"),
        (SegmentMask, {"concentration": 2}, "concentration=2 has no effect without assign=dirichlet"),
        (SegmentMask, {"images": 3, "select": "one"}, "select=one .* no effect with images=3 and assign=uniform"),
        (SegmentMask, {"assign": "dirichlet", "select": "bernoulli"}, "select=bernoulli .* assign=dirichlet"),
    ],
)
def test_values_that_can_not_be(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_a_batch_without_superpixels_is_named() -> None:
    first, partner = batches(3)
    bare = Batch(first.images, first.labels)
    with pytest.raises(ValueError, match="the first batch has no segments"):
        SegmentMask(images=3, source="random")(bare, partner, 8, RandomStream(0))
