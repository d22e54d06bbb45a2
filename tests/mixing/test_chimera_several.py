"""Compositions of more than two images against loops over samples and places."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.generators.networks import ChimeraNetwork
from chimeramix.masks import GridMask, SegmentMask
from chimeramix.mixing import ChimeraMix, DirectMix, Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask, Subset

LABELS = torch.arange(10) % 2
INDEX = torch.tensor([0, 3, 4, 9])
MASKS = {
    "grid": GridMask(4, images=4),
    "dirichlet": GridMask(4, images=3, assign="dirichlet"),
    "segments": SegmentMask(min_size=60, images=4),
    "random": SegmentMask(min_size=60, images=3, source="random"),
}


def partners_and_views(segments: bool = True, padding: int = 4) -> tuple[SameClassPartners, Views]:
    """Ten images of two classes, of noise; superpixels are stripes, others in each image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (10, 3, 32, 32), generator=generator, dtype=torch.uint8)
    stripes = (torch.arange(32) // 7).expand(10, 32, 32) + torch.arange(10).view(10, 1, 1) % 5
    holder = type("Held", (), {"labels": stripes}) if segments else None
    normalize = Normalize([0.5] * 3, [0.5] * 3, torch.device("cpu"))
    subset = Subset(images, LABELS, 2)
    views = Views(subset, FlipCrop(0.5, padding), normalize, RandomStream(0), holder)  # type: ignore[arg-type]
    return SameClassPartners(views, RandomStream(1)), views


def network(image_size: int) -> ChimeraNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ChimeraNetwork(features=4, blocks=2, split=1)
    made.image_size = image_size
    return made


def again(mask: Mask, batch: Batch, size: int, images: int, include_self: bool) -> tuple[Batch, Tensor]:
    """The partners that a mixer draws, view by view, and its mask."""
    partners, views = partners_and_views()
    views(INDEX)  # the batch's own augmentation came first
    shared, which = partners.shared(batch, include_self, images - 1)
    assert which is not None
    assert shared.segments is not None
    partner = Batch(shared.images[which], shared.labels[which], None, shared.segments[which])
    rng = RandomStream(5)
    rng.coin(1)
    return partner, mask(batch, partner, size, rng)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("name", MASKS)
def test_features_sample_by_sample(name: str, include_self: bool) -> None:
    """Each image is encoded by itself, in float64, and each place takes the features of the image that it shows."""
    mask = MASKS[name]
    images = mask.images
    generator = network(32)
    partners, views = partners_and_views()
    mixer = ChimeraMix(2, generator, partners, mask, 1.0, include_self, rng=RandomStream(5))
    batch = views(INDEX)
    made, targets = mixer.mix(batch)
    partner, shares = again(mask, batch, 8, images, include_self)
    exact = copy.deepcopy(generator).double()
    for sample in range(4):
        group = [batch.images[sample], *partner.images[sample :: len(batch)]]
        features = [exact.encoder(image[None].double())[0] for image in group]
        mixed = torch.zeros_like(features[0])
        for row in range(8):
            for column in range(8):
                (owner,) = shares[sample, :, row, column].nonzero().flatten().tolist()
                mixed[:, row, column] = features[owner][:, row, column]
        torch.testing.assert_close(made[sample].double(), exact.decoder(mixed[None])[0], rtol=0, atol=1e-5)
    assert torch.equal(targets, F.one_hot(LABELS[INDEX], 2).float())


@pytest.mark.parametrize("name", MASKS)
def test_pixels_place_by_place(name: str) -> None:
    mask = MASKS[name]
    partners, views = partners_and_views()
    batch = views(INDEX)
    made, targets = DirectMix(2, partners, mask, 1.0, rng=RandomStream(5)).mix(batch)
    partner, shares = again(mask, batch, 32, mask.images, include_self=True)
    everything = torch.cat([batch.images, partner.images])
    for sample in range(4):
        for row in range(32):
            for column in range(32):
                (owner,) = shares[sample, :, row, column].nonzero().flatten().tolist()
                assert torch.equal(made[sample, :, row, column], everything[owner * 4 + sample, :, row, column])
    assert torch.equal(targets, F.one_hot(LABELS[INDEX], 2).float())


def test_no_view_is_encoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of 4 with four partners each, of ten images: at most 14 views instead of 20."""
    generator = network(32)
    encoded: list[Tensor] = []
    monkeypatch.setattr(generator, "encode", lambda images: encoded.append(images) or generator.encoder(images))
    partners, views = partners_and_views()
    ChimeraMix(2, generator, partners, GridMask(4, images=5), 1.0).mix(views(INDEX))
    (images,) = encoded
    assert 4 < len(images) <= 14
    assert len(images.flatten(1).unique(dim=0)) == len(images)


def test_a_group_without_include_self_holds_different_images() -> None:
    """All five images of the class show, where every cell shows one of five."""
    partners, views = partners_and_views(segments=False, padding=0)
    mixer = DirectMix(2, partners, GridMask(8, "none", images=5), 1.0, include_self=False, rng=RandomStream(0))
    images, _ = mixer.mix(Batch(torch.full((4, 3, 32, 32), 9.0), LABELS[INDEX], INDEX))
    plain = views.plain(torch.arange(10)).images
    both = torch.stack([plain, plain.flip(-1)], 1)
    for sample, own in enumerate(INDEX.tolist()):
        seen = (images[sample] == both).all(2).any(1).flatten(1).any(1).nonzero().flatten().tolist()
        assert seen == [other for other in range(10) if LABELS[other] == LABELS[own] and other != own]
        assert (images[sample] == 9).any()  # and itself


@pytest.mark.parametrize("kind", [ChimeraMix, DirectMix])
def test_mixers_of_groups_stand_where_torchvisions_do(kind: type[Mixer]) -> None:
    """Called with images and class numbers from anywhere."""
    partners, _ = partners_and_views(segments=False)
    generator = {"generator": network(64)} if kind is ChimeraMix else {}
    mixer = kind(2, partners=partners, mask=GridMask(4, images=5), probability=1.0, **generator)  # type: ignore[call-arg]
    images, labels = torch.rand(7, 3, 32, 32), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    before = images.clone()
    mixed, targets = mixer(images, labels)
    assert (mixed.shape, mixed.dtype) == (images.shape, torch.float32)
    assert torch.equal(images, before)
    assert not torch.equal(mixed, images)
    assert torch.equal(targets, F.one_hot(labels, 2).float())


@pytest.mark.parametrize("kind", [ChimeraMix, DirectMix])
def test_classes_that_are_too_small_are_refused(kind: type[Mixer]) -> None:
    partners, _ = partners_and_views(segments=False)
    generator = {"generator": network(32)} if kind is ChimeraMix else {}
    with pytest.raises(ValueError, match=r"mask\.images=6 needs 6 images of each class, but the smallest has only 5"):
        kind(2, partners=partners, mask=GridMask(4, images=6), **generator)  # type: ignore[call-arg]
