"""Normalised views of the subset, and partners of the same class."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare
from torchvision import transforms

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.data import views as views_module
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Subset

CPU = torch.device("cpu")
LABELS = torch.tensor([1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 1, 0])  # 4, 5 and 3 of a class


def views_of(labels: torch.Tensor = LABELS, num_classes: int = 3, padding: int = 0) -> Views:
    """Image i has columns 10 i, 10 i + 1, ...: the first tells its number, all of them the crop and the flip."""
    columns = 10 * torch.arange(len(labels))[:, None] + torch.arange(8)
    images = columns.to(torch.uint8)[:, None, None].expand(-1, 3, 8, 8)
    segments: Any = SimpleNamespace(labels=columns.to(torch.int16)[:, None].expand(-1, 8, 8))
    normalize = Normalize([0, 0, 0], [1 / 255] * 3, CPU)  # leaves the numbers
    return Views(Subset(images, labels, num_classes), FlipCrop(0.5, padding), normalize, RandomStream(0), segments)


def positions(index: torch.Tensor, labels: torch.Tensor = LABELS) -> Batch:
    return Batch(torch.empty(len(index), 0), labels[index], index)


@pytest.mark.parametrize(("mean", "std"), [([0.49, 0.5, 0.45], [0.2, 0.5, 0.26]), ([0.5] * 3, [0.5] * 3)])
def test_normalisation_equals_torchvisions(mean: list[float], std: list[float]) -> None:
    image = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3) % 256
    picture = Image.fromarray(image.astype(np.uint8))
    expected = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])(picture)
    pixels = torch.from_numpy(image).permute(2, 0, 1).to(torch.uint8)
    normalize = Normalize(mean, std, CPU)
    # One multiplication and addition instead of two divisions and a subtraction: a few roundings of values up to 3.
    torch.testing.assert_close(normalize(pixels), expected, rtol=0, atol=1e-6)
    exact = (pixels.double() / 255 - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(std).double().view(
        3, 1, 1
    )
    torch.testing.assert_close(normalize(pixels).double(), exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(normalize.inverse(normalize(pixels)), pixels / 255, rtol=0, atol=1e-6)


def test_half_and_half_is_minus_one_to_one() -> None:
    extremes = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert Normalize([0.5] * 3, [0.5] * 3, CPU)(extremes)[:, 0, 0, 0].tolist() == pytest.approx([-1, 1], abs=1e-6)


def test_a_channel_without_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="std must be positive"):
        Normalize([0, 0, 0], [1, 0, 1], CPU)


def test_a_batch_holds_what_its_index_says() -> None:
    batch = views_of().plain(torch.tensor([3, 0, 11]))
    assert batch.images[:, 0, 0, 0].tolist() == pytest.approx([30, 0, 110])
    assert batch.labels.tolist() == [1, 1, 0]
    assert batch.index is not None
    assert batch.index.tolist() == [3, 0, 11]


def test_segments_come_with_their_images() -> None:
    """Here superpixels carry the pixels' own numbers, so both must agree in every crop and flip."""
    batch = views_of(padding=3)(torch.arange(12).repeat(3))
    assert batch.segments is not None
    torch.testing.assert_close(batch.images[:, 0], batch.segments.float())
    assert len(batch.images.flatten(1).unique(dim=0)) > 24  # the same image comes in different views


@pytest.mark.parametrize("include_self", [True, False])
def test_partners_are_uniform_over_the_class(include_self: bool) -> None:
    """With itself each of the n images of a class has probability 1/n, without itself each other one 1/(n-1)."""
    partners = SameClassPartners(views_of(), RandomStream(0))
    for image, label in enumerate(LABELS.tolist()):
        allowed = [other for other in range(12) if LABELS[other] == label and (include_self or other != image)]
        drawn = partners.index(positions(torch.full((3000,), image)), include_self)
        counts = drawn.bincount(minlength=12)
        assert counts.nonzero().flatten().tolist() == allowed
        assert chisquare(counts[allowed]).pvalue > 0.001


def test_partners_of_a_batch_are_independent() -> None:
    """Two images of one class meet each of the 16 pairs of partners equally often."""
    partners = SameClassPartners(views_of(), RandomStream(0))
    members = [1, 4, 7, 11]
    pairs = [tuple(partners.index(positions(torch.tensor([1, 4])), True).tolist()) for _ in range(3200)]
    assert chisquare([pairs.count((first, second)) for first in members for second in members]).pvalue > 0.001


def test_a_partner_is_a_view_of_its_own() -> None:
    """An image that is its own partner comes in another crop and flip."""
    views = views_of(torch.tensor([0]), num_classes=1, padding=3)
    batch = views(torch.zeros(50, dtype=torch.long))
    partner = SameClassPartners(views, RandomStream(1))(batch, include_self=True)
    assert partner.index is not None
    assert partner.index.tolist() == [0] * 50
    same = (batch.images == partner.images).flatten(1).all(1).float().mean()
    assert same < 0.4  # 7 crops that show here and 2 flips: 1/14 expected


def test_a_lone_image_has_no_partner_but_itself() -> None:
    partners = SameClassPartners(views_of(torch.tensor([0, 0, 1])), RandomStream(0))
    partners.check(include_self=True)
    with pytest.raises(ValueError, match="at least two samples in every class"):
        partners.check(include_self=False)


def test_a_class_without_images_needs_no_partner() -> None:
    """Class 1 of 3 has no image in the subset: nobody asks for its partners."""
    labels = torch.tensor([0, 2, 0, 2])
    partners = SameClassPartners(views_of(labels), RandomStream(0))
    partners.check(include_self=False)
    assert partners.index(positions(torch.arange(4), labels), include_self=False).tolist() == [2, 3, 0, 1]


def test_partners_of_images_from_elsewhere_come_from_the_subset() -> None:
    partners = SameClassPartners(views_of(), RandomStream(0))
    elsewhere = Batch(torch.zeros(3, 3, 8, 8), torch.tensor([2, 0, 1]))
    assert partners(elsewhere, include_self=True).labels.tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="include_self=false needs the batch's positions"):
        partners(elsewhere, include_self=False)


def test_no_partner_is_made_up() -> None:
    """For a class without images, and for soft labels, there is none of the same class."""
    partners = SameClassPartners(views_of(torch.tensor([0, 2, 0, 2])), RandomStream(0))
    with pytest.raises(ValueError, match=r"no image of these classes to mix with: \[1\]"):
        partners(Batch(torch.zeros(3, 3, 8, 8), torch.tensor([2, 1, 1])), include_self=True)
    with pytest.raises(ValueError, match="need class numbers as labels, not soft labels"):
        partners(Batch(torch.zeros(2, 3, 8, 8), torch.tensor([[0.5, 0, 0.5], [1, 0, 0]])), include_self=True)


@pytest.mark.parametrize("include_self", [True, False])
def test_one_partner_is_drawn_as_ever(include_self: bool) -> None:
    """The draws, written out image by image: runs with two images keep their numbers."""
    index = torch.arange(12).repeat(5)
    drawn = SameClassPartners(views_of(), RandomStream(7)).index(positions(index), include_self)
    uniform = RandomStream(7).uniform(60)
    for image, draw, partner in zip(index.tolist(), uniform.tolist(), drawn.tolist(), strict=True):
        members = [other for other in range(12) if LABELS[other] == LABELS[image]]
        if include_self:
            assert partner == members[int(draw * len(members))]
        else:
            step = 1 + int(draw * (len(members) - 1))
            assert partner == members[(members.index(image) + step) % len(members)]


def test_several_partners_are_different_images() -> None:
    """Without `include_self` the two partners of an image of a class of 4 are one of 6 ordered pairs of the others,
    each as often; of a class of 3 they are always the other two."""
    partners = SameClassPartners(views_of(), RandomStream(0))
    members = [1, 4, 7, 11]
    for image in members:
        drawn = partners.index(positions(torch.full((3000,), image)), False, 2).view(2, -1).T.tolist()
        pairs = [[a, b] for a in members for b in members if len({a, b, image}) == 3]
        assert chisquare([drawn.count(pair) for pair in pairs]).pvalue > 0.001
        assert all(pair in pairs for pair in drawn)
    drawn = partners.index(positions(torch.tensor([2, 5, 8])), False, 2).view(2, -1)
    assert drawn.sort(0).values.T.tolist() == [[5, 8], [2, 8], [2, 5]]


def test_several_partners_with_include_self_are_independent() -> None:
    partners = SameClassPartners(views_of(), RandomStream(0))
    drawn = partners.index(positions(torch.full((4000,), 5)), True, 2).view(2, -1).T.tolist()
    pairs = [[a, b] for a in (2, 5, 8) for b in (2, 5, 8)]
    assert chisquare([drawn.count(pair) for pair in pairs]).pvalue > 0.001


@pytest.mark.parametrize("include_self", [True, False])
def test_too_few_images_for_a_group_are_told(include_self: bool) -> None:
    partners = SameClassPartners(views_of(), RandomStream(0))
    partners.check(include_self, 3)
    told = r"mask.images=4 needs 4 images of each class, but the smallest has only 3 .*mask.images=3.*max_labels"
    with pytest.raises(ValueError, match=told):
        partners.check(include_self, 4)
    partners = SameClassPartners(views_of(torch.tensor([0, 0, 1, 0])), RandomStream(0))
    with pytest.raises(ValueError, match=r"the smallest has only 1 .*set mask.images=2,"):
        partners.check(include_self, 3)


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_partners_share_the_views_of_an_image(count: int, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image that was drawn has one view, on the CPU no other one has; the images are those of `index`. Where
    values can't be looked at there are never more views than images or draws."""
    monkeypatch.setattr(views_module, "may_look", lambda _: looks)
    batch = positions(torch.tensor([0, 1, 2, 3]))
    made, which = SameClassPartners(views_of(padding=3), RandomStream(0)).shared(batch, True, count)
    index = SameClassPartners(views_of(padding=3), RandomStream(0)).index(batch, True, count)
    assert made.index is not None
    assert made.segments is not None
    if which is None:  # 8 draws of 12 images
        assert (count, looks) == (2, False)
        assert torch.equal(made.index, index)
        return
    assert torch.equal(made.index[which], index)
    assert torch.equal(made.labels[which], LABELS[index])
    assert made.index.tolist() == (sorted(set(index.tolist())) if looks else list(range(12)))
    torch.testing.assert_close(made.images[:, 0], made.segments.float())  # one crop and flip of both
