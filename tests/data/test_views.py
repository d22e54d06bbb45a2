"""Views, partners and the loader."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.data.loader import EpochLoader
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Subset

CPU = torch.device("cpu")
LABELS = torch.tensor([1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 1, 0])  # 4, 5 and 3 of a class


def views_of(labels: torch.Tensor = LABELS) -> Views:
    """Image number i is constant at pixel value i, so a batch tells which images it holds."""
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    subset = Subset(images, labels, int(labels.max()) + 1)
    return Views(subset, FlipCrop(0.5, 0), Normalize([0, 0, 0], [1 / 255] * 3, CPU), RandomStream(0))


def test_normalisation_equals_torchvisions() -> None:
    mean, std = [0.49, 0.5, 0.45], [0.2, 0.5, 0.26]
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])(Image.fromarray(image))
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    normalize = Normalize(mean, std, CPU)
    torch.testing.assert_close(normalize(pixels), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(normalize.inverse(normalize(pixels)), pixels / 255, rtol=0, atol=1e-6)


def test_half_and_half_is_minus_one_to_one() -> None:
    extremes = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert Normalize([0.5] * 3, [0.5] * 3, CPU)(extremes)[:, 0, 0, 0].tolist() == pytest.approx([-1, 1], abs=1e-6)


def test_a_batch_holds_what_its_index_says() -> None:
    batch = views_of()(torch.tensor([3, 0, 11]))
    assert batch.images[:, 0, 0, 0].tolist() == pytest.approx([3, 0, 11])
    assert batch.labels.tolist() == [1, 1, 0]
    assert batch.index is not None
    assert batch.index.tolist() == [3, 0, 11]


@pytest.mark.parametrize("include_self", [True, False])
def test_partners_are_uniform_over_the_class(include_self: bool) -> None:
    partners = SameClassPartners(views_of(), RandomStream(0))
    index = torch.arange(12).repeat(5000)
    drawn = partners.index(Batch(torch.empty(len(index), 0), LABELS[index], index), include_self)
    counts = torch.zeros(12, 12).index_put_((index, drawn), torch.ones(()), accumulate=True) / 5000
    same = (LABELS[:, None] == LABELS).float()
    if not include_self:
        same.fill_diagonal_(0)
    expected = same / same.sum(1, keepdim=True)
    assert (counts - expected).abs().max() < 0.035  # five standard deviations of a share of 1/2
    assert torch.equal(counts > 0, expected > 0)


def test_a_lone_image_has_no_partner_but_itself() -> None:
    partners = SameClassPartners(views_of(torch.tensor([0, 0, 1])), RandomStream(0))
    partners.check(include_self=True)
    with pytest.raises(ValueError, match="at least two samples in every class"):
        partners.check(include_self=False)


def test_partners_of_images_from_elsewhere_come_from_the_subset() -> None:
    partners = SameClassPartners(views_of(), RandomStream(0))
    batch = partners(Batch(torch.zeros(3, 3, 8, 8), torch.tensor([2, 0, 1])), include_self=True)
    assert batch.labels.tolist() == [2, 0, 1]


def test_an_epoch_holds_every_image_as_often_as_it_is_repeated() -> None:
    loader = EpochLoader(views_of(), batch_size=5, repeats=3, rng=RandomStream(0))
    epochs = []
    for _ in range(2):
        batches = [batch.index.tolist() for batch in loader if batch.index is not None]
        assert [len(batch) for batch in batches] == [5] * 7 + [1]  # the last, smaller batch is kept
        assert len(loader) == 8
        epochs.append([index for batch in batches for index in batch])
        assert np.bincount(epochs[-1]).tolist() == [3] * 12
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("stop_after", [0, 1, 3, 7, 8])
def test_a_loader_goes_on_where_another_stopped(stop_after: int) -> None:
    """Stopped after any batch, the last of the epoch included; the next epoch follows from the stream's state."""
    streams = RandomStream(0), RandomStream(99)
    first, second = (EpochLoader(views_of(), 5, 3, rng) for rng in streams)
    running = iter(first)
    for _ in range(stop_after):
        next(running)
    state, rng_state = first.state_dict(), streams[0].state_dict()
    rest = [batch.index.tolist() for batch in running if batch.index is not None]
    following = [batch.index.tolist() for batch in first if batch.index is not None]
    second.load_state_dict(state)
    streams[1].load_state_dict(rng_state)
    resumed = [batch.index.tolist() for batch in second if batch.index is not None]
    if stop_after == 0:  # nothing drawn yet when the state was taken: the whole epoch comes
        assert len(resumed) == 8
        return
    assert resumed == rest
    assert [batch.index.tolist() for batch in second if batch.index is not None] == following
