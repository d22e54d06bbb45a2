import pytest
import torch

from chimeramix.data.image_file import Reading
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


@pytest.mark.parametrize("shape", [(16, 16), (12, 12), (20, 14)])
@pytest.mark.parametrize(
    "reading", [Reading(16, "array"), Reading(16, "crop"), Reading(16, "squash", 18), Reading(12, "squash")], ids=str
)
def test_images_are_read_as_another_data_set_reads_one_at_a_time(reading, shape):
    images = torch.randint(0, 256, (3, 3, *shape), dtype=torch.uint8, generator=torch.manual_seed(0))
    part = ImagesInMemory(["a"], torch.zeros(3, dtype=torch.int64), images, 40)  # a size that does not count
    expected = torch.stack([reading(images[place]) for place in (2, 0)])
    assert torch.equal(part.read_as(reading, [2, 0]), expected)
