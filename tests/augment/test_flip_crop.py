"""Crops and flips against torchvision, sample by sample."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.streams import RandomStream


@pytest.mark.parametrize(("size", "padding", "used"), [(32, None, 4), (64, None, 8), (96, None, 12), (20, 3, 3)])
def test_equals_padding_cropping_and_flipping_each_image(size: int, padding: int | None, used: int) -> None:
    images = torch.randint(256, (6, 3, size, size), dtype=torch.uint8)
    segments = torch.randint(9, (6, size, size), dtype=torch.int16)
    cropped, moved = FlipCrop(0.5, padding)(images, segments, RandomStream(2))
    assert moved is not None
    rng = RandomStream(2)
    offsets = rng.integers(2 * used + 1, 2, 6, 1)[..., 0]
    flipped = rng.uniform(6, 1)[:, 0] < 0.5
    assert 0 < flipped.sum() < 6
    for sample in range(6):
        together = torch.cat([images[sample].long(), segments[sample : sample + 1].long()])
        padded = tv.pad(together, [used] * 4, padding_mode="reflect")
        window = tv.crop(padded, int(offsets[0, sample]), int(offsets[1, sample]), size, size)
        expected = tv.horizontal_flip(window) if flipped[sample] else window
        assert torch.equal(cropped[sample].long(), expected[:3])
        assert torch.equal(moved[sample].long(), expected[3])


def test_every_offset_occurs_equally_often() -> None:
    """A column index as image content tells the window's place."""
    images = torch.arange(32, dtype=torch.uint8).expand(9000, 1, 32, 32)
    cropped, _ = FlipCrop(flip=0)(images, None, RandomStream(0))
    shifts = cropped[:, 0, 0, 16].int() - 16
    counts = torch.stack([(shifts == shift).sum() for shift in range(-4, 5)])
    assert counts.sum() == 9000
    assert (counts - 1000).abs().max() < 150  # five standard deviations


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0), (1.0, 1)])
def test_flip_never_and_always(flip: float, share: int) -> None:
    images = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8)
    cropped, _ = FlipCrop(flip, padding=0)(images, None, RandomStream(0))
    assert torch.equal(cropped, images.flip(-1) if share else images)


def test_what_cannot_be_cropped_is_refused() -> None:
    with pytest.raises(ValueError, match=r"padding \(8\) must be smaller than the image \(8 pixels\)"):
        FlipCrop(padding=8)(torch.zeros(1, 3, 8, 8), None, RandomStream(0))
    with pytest.raises(ValueError, match="flip must be in"):
        FlipCrop(flip=1.5)
