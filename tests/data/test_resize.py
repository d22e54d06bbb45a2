import numpy as np
import pytest
import torch
from PIL import Image

from chimeramix.data.resize import resize


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 64), (96, 96, 32), (8, 8, 32), (50, 77, 32), (8, 8, 1)])
def test_agrees_with_pil(height, width, size):
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    expected = [np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)) for p in pixels]

    resized = resize(torch.from_numpy(pixels).permute(0, 3, 1, 2), size)

    assert resized.dtype == torch.uint8
    difference = resized.permute(0, 2, 3, 1).int() - torch.from_numpy(np.stack(expected)).int()
    assert difference.abs().max() <= 1


def test_hands_back_images_of_the_right_size():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert resize(images, 32) is images


def test_no_images():
    assert resize(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 32).shape == (0, 3, 32, 32)


def test_refuses_floats_and_empty_sizes():
    with pytest.raises(ValueError, match="uint8"):
        resize(torch.zeros(1, 3, 8, 8), 32)
    with pytest.raises(ValueError, match="at least 1"):
        resize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 0)
