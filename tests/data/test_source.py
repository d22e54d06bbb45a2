import pytest
import torch

from chimeramix.data.source import ImagesInMemory, Source

HALF = [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"mean": [0.5]}, "three numbers"),
        ({"std": [0.5, 0.0, 0.5]}, "std must be above 0"),
        ({"workers": -1}, "machine.workers"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Source(**({"name": "x", "image_size": 8, "mean": HALF, "std": HALF} | settings))


def test_images_and_labels_must_agree():
    with pytest.raises(ValueError, match="2 labels for 1 images"):
        ImagesInMemory(["a"], torch.zeros(2, dtype=torch.int64), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 8)


def test_no_images_can_be_read_too():
    part = ImagesInMemory(["a"], torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 16)
    assert part.read([]).shape == (0, 3, 16, 16)
