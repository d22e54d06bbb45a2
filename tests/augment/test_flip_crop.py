"""Crops and flips against torchvision, sample by sample."""

import itertools

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.streams import RandomStream


def view_by_torchvision(image: Tensor, padding: int, top: int, left: int, flip: bool) -> Tensor:
    size = image.shape[-1]
    padded = tv.pad(image, [padding] * 4, padding_mode="reflect") if padding else image
    window = tv.crop(padded, top, left, size, size)
    return tv.horizontal_flip(window) if flip else window


def random_images(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "padding", "used"), [(32, None, 4), (64, None, 8), (96, None, 12), (20, 3, 3), (9, 8, 8)]
)
def test_equals_padding_cropping_and_flipping_each_image(size: int, padding: int | None, used: int) -> None:
    """The superpixels are a fourth channel here, so they must have moved as the pixels did."""
    images = random_images(6, 3, size, size)
    segments = torch.randint(900, (6, size, size), dtype=torch.int16)
    cropped, moved = FlipCrop(0.5, padding)(images, segments, RandomStream(2))
    assert moved is not None
    assert (cropped.dtype, moved.dtype) == (torch.uint8, torch.int16)
    rng = RandomStream(2)  # the same draws again
    offsets = rng.integers(2 * used + 1, 2, 6, 1)[..., 0]
    flipped = rng.uniform(6, 1)[:, 0] < 0.5
    assert 0 < flipped.sum() < 6
    for sample in range(6):
        together = torch.cat([images[sample].short(), segments[sample : sample + 1]])
        top, left = int(offsets[0, sample]), int(offsets[1, sample])
        expected = view_by_torchvision(together, used, top, left, bool(flipped[sample]))
        assert torch.equal(cropped[sample].short(), expected[:3])
        assert torch.equal(moved[sample], expected[3])


def test_every_window_and_flip_is_equally_likely() -> None:
    """Each view is one of the 25 windows of an image padded by 2, flipped or not: the 50 come equally often."""
    image = random_images(3, 8, 8)
    candidates = torch.stack(
        [
            view_by_torchvision(image, 2, top, left, flip)
            for top, left, flip in itertools.product(range(5), range(5), (False, True))
        ]
    )
    assert len(candidates.unique(dim=0)) == 50
    views, _ = FlipCrop(0.5, padding=2)(image.expand(10_000, 3, 8, 8), None, RandomStream(0))
    matches = (views[:, None] == candidates).flatten(2).all(2)
    assert torch.equal(matches.sum(1), torch.ones(10_000, dtype=torch.long))
    assert chisquare(matches.sum(0)).pvalue > 0.01


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_flip_never_and_always(flip: float) -> None:
    images = random_images(20, 3, 8, 8)
    views, _ = FlipCrop(flip, padding=0)(images, None, RandomStream(0))
    assert torch.equal(views, images.flip(-1) if flip else images)


def test_the_images_handed_in_stay_as_they_are() -> None:
    images, segments = random_images(5, 3, 16, 16), random_images(5, 16, 16)
    copies = images.clone(), segments.clone()
    FlipCrop()(images, segments, RandomStream(0))
    assert torch.equal(images, copies[0])
    assert torch.equal(segments, copies[1])


def test_segments_change_nothing_for_the_images() -> None:
    images = random_images(5, 3, 16, 16)
    alone, nothing = FlipCrop()(images, None, RandomStream(0))
    together, _ = FlipCrop()(images, random_images(5, 16, 16), RandomStream(0))
    assert nothing is None
    assert torch.equal(alone, together)


def test_what_cannot_be_cropped_is_refused() -> None:
    with pytest.raises(ValueError, match=r"padding \(8\) must be smaller than the image \(8 pixels\)"):
        FlipCrop(padding=8)(torch.zeros(1, 3, 8, 8), None, RandomStream(0))
    with pytest.raises(ValueError, match="padding must not be negative, got -1"):
        FlipCrop(padding=-1)
    for flip in (-0.1, 1.5):
        with pytest.raises(ValueError, match=r"flip must be in \[0, 1\]"):
            FlipCrop(flip)
