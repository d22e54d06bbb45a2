"""Epochs of batches, interrupted and resumed."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.data.loader import EpochLoader
from chimeramix.data.views import Normalize, Views
from chimeramix.streams import RunStreams
from chimeramix.types import Batch, Subset

CPU = torch.device("cpu")
IMAGES = 12


def loader_of(streams: RunStreams, batch_size: int = 5, repeats: int = 3) -> EpochLoader:
    images = torch.randint(256, (IMAGES, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    subset = Subset(images, torch.arange(IMAGES) % 4, 4)
    views = Views(subset, FlipCrop(), Normalize([0.5] * 3, [0.5] * 3, CPU), streams["augment"])
    return EpochLoader(views, batch_size, repeats, streams["order"])


def numbers(batch: Batch) -> list[int]:
    assert batch.index is not None
    return batch.index.tolist()


def assert_same(batches: list[Batch], others: list[Batch]) -> None:
    assert [numbers(batch) for batch in batches] == [numbers(other) for other in others]
    for batch, other in zip(batches, others, strict=True):
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.labels, other.labels)


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5] * 7 + [1]), (12, [12] * 3), (100, [36]), (1, [1] * 36)])
def test_an_epoch_holds_every_image_as_often_as_it_is_repeated(batch_size: int, sizes: list[int]) -> None:
    """36 images an epoch; the last, smaller batch is kept; the order is another one each time."""
    loader = loader_of(RunStreams(0, CPU), batch_size, repeats=3)
    epochs = []
    for _ in range(4):
        batches = list(loader)
        assert [len(batch) for batch in batches] == sizes
        epochs.append([index for batch in batches for index in numbers(batch)])
        assert np.bincount(epochs[-1]).tolist() == [3] * IMAGES
    assert len(loader) == len(sizes)
    assert loader.samples == 36
    assert all(one != other for one, other in itertools.combinations(epochs, 2))


def test_repetitions_are_shuffled_together() -> None:
    """Any image may come first, and may come twice in a row: 1,000 epochs of 2 repetitions."""
    loader = loader_of(RunStreams(0, CPU), batch_size=2, repeats=2)
    firsts = [numbers(next(iter(list(loader)))) for _ in range(1000)]
    assert chisquare(np.bincount([first for first, _ in firsts], minlength=IMAGES)).pvalue > 0.01
    twice = sum(first == second for first, second in firsts)
    assert twice == pytest.approx(1000 / 23, abs=33)  # five standard deviations


@pytest.mark.parametrize("stop_after", [0, 1, 3, 7, 8])
def test_a_loader_goes_on_where_another_stopped(stop_after: int) -> None:
    """Before the first batch, in mid epoch, and after the last batch, when nothing but the next epoch is left."""
    streams = RunStreams(0, CPU)
    loader = loader_of(streams)
    list(loader)  # an epoch before
    running = iter(loader)
    for _ in range(stop_after):
        next(running)
    state, stream_state = loader.state_dict(), streams.state_dict()
    rest, following = list(running), list(loader)
    assert len(rest) == 8 - stop_after

    streams = RunStreams(99, CPU)
    resumed = loader_of(streams)
    resumed.load_state_dict(state)
    streams.load_state_dict(stream_state)
    assert_same(list(resumed), rest)
    assert_same(list(resumed), following)


def test_an_abandoned_epoch_goes_on() -> None:
    """Leaving the loop and entering it again is no new epoch."""
    loader = loader_of(RunStreams(0, CPU))
    seen = [index for batch in itertools.islice(loader, 3) for index in numbers(batch)]
    seen += [index for batch in loader for index in numbers(batch)]
    assert np.bincount(seen).tolist() == [3] * IMAGES


@pytest.mark.parametrize(("batch_size", "repeats"), [(0, 1), (1, 0), (-3, 1)])
def test_empty_batches_and_epochs_are_refused(batch_size: int, repeats: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {batch_size} and {repeats}"):
        loader_of(RunStreams(0, CPU), batch_size, repeats)
