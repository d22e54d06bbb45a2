"""Random resized crops against torchvision's: where they are, and what they hold."""

import math
from contextlib import nullcontext

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode
from torchvision.transforms import RandomResizedCrop as Reference
from torchvision.transforms.v2 import functional as tv

from chimeramix.augment import Compose, FlipCrop, RandomResizedCrop
from chimeramix.streams import RandomStream

DRAWS = 3000


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.4, 1.0)])
@pytest.mark.parametrize(("height", "width"), [(90, 160), (64, 64), (40, 400)])
def test_areas_aspects_and_places_are_distributed_as_torchvision_s(height: int, width: int, scale: tuple) -> None:
    """On 40 x 400 most of the ten rectangles don't fit, and the central one is taken often."""
    torch.manual_seed(0)
    image, ratio = torch.zeros(3, height, width), (3 / 4, 4 / 3)
    expected = torch.tensor([Reference.get_params(image, list(scale), list(ratio)) for _ in range(DRAWS)])
    sizes = torch.tensor([height, width]).expand(DRAWS, 2)
    boxes = RandomResizedCrop(32, scale).boxes(sizes, RandomStream(0))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= height).all()
    assert (boxes[:, 1] + boxes[:, 3] <= width).all()
    for values in (
        lambda box: box[:, 2] * box[:, 3],  # area
        lambda box: box[:, 3] / box[:, 2],  # aspect
        lambda box: box[:, 0],
        lambda box: box[:, 1],
    ):
        assert ks_2samp(values(boxes), values(expected)).pvalue > 0.01


def test_where_nothing_fits_the_central_part_is_taken() -> None:
    """Shares of nearly all of a strip have no admitted aspect: torchvision's rule for that, by hand."""
    sizes = torch.tensor([[30, 300], [300, 30], [40, 40]])
    crop = RandomResizedCrop(8, (0.99, 1.0), (0.9, 1.1))
    boxes = crop.boxes(sizes, RandomStream(0)).tolist()
    assert boxes[0] == [0, 133, 30, 33]
    assert boxes[1] == [133, 0, 33, 30]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "box",
    [(0, 0, 50, 70), (13, 20, 37, 50), (3, 5, 8, 9), (49, 0, 1, 70), (10, 10, 32, 32)],
    ids=["all", "smaller", "enlarged", "row", "as it is"],
)
def test_a_crop_has_torchvision_s_pixels(box: tuple, interpolation: str) -> None:
    """Within a grey level. The image lies in the corner of a larger tensor, of which nothing may come in."""
    images = torch.full((3, 3, 64, 80), 255, dtype=torch.uint8)
    images[:, :, :50, :70] = random_images(3, 3, 50, 70)
    crop = RandomResizedCrop(32, interpolation=interpolation)
    flipped = torch.tensor([False, True, False])
    found, _ = crop.crop(images, None, torch.tensor([box] * 3), flipped)
    mode = InterpolationMode(interpolation)
    for image, made, flip in zip(images, found, flipped, strict=True):
        expected = tv.resized_crop(image, *box, [32, 32], mode, antialias=True)
        expected = tv.horizontal_flip(expected) if flip else expected
        assert (made.int() - expected.int()).abs().max() <= 1


def test_segments_move_with_the_images() -> None:
    """Of a crop that is not scaled they are the same pixels; of a scaled one the nearest ones."""
    pixels = random_images(4, 1, 48, 64)
    crop, rng = RandomResizedCrop(32), RandomStream(0)
    boxes = torch.tensor([[3, 7, 32, 32]] * 4)
    flipped = rng.uniform(4) < 0.5
    images, segments = crop.crop(pixels.expand(-1, 3, -1, -1), pixels[:, 0].short(), boxes, flipped)
    assert torch.equal(images[:, 0].short(), segments)
    _, segments = crop.crop(pixels, pixels[:, 0].short(), torch.tensor([[2, 4, 40, 21]] * 4), torch.zeros(4).bool())
    nearest = tv.resized_crop(pixels, 2, 4, 40, 21, [32, 32], InterpolationMode.NEAREST_EXACT)
    assert torch.equal(segments, nearest[:, 0].short())


def test_images_of_several_sizes_in_one_batch_are_cut_each_within_itself() -> None:
    images = torch.zeros(3, 3, 60, 60, dtype=torch.uint8)
    sizes = torch.tensor([[60, 20], [20, 60], [33, 41]])
    for image, (height, width) in zip(images, sizes.tolist(), strict=True):
        image[:, :height, :width] = 200
    found, _ = RandomResizedCrop(16)(images, None, RandomStream(0), sizes)
    assert found.shape == (3, 3, 16, 16)
    assert (found == 200).all()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_flip_never_and_always(flip: float) -> None:
    images = random_images(5, 3, 16, 16)
    views, _ = RandomResizedCrop(None, (1.0, 1.0), (1.0, 1.0), flip=flip)(images, None, RandomStream(0))
    assert torch.equal(views, images.flip(-1) if flip else images)


def test_the_first_step_of_several_takes_whole_images() -> None:
    steps = Compose({"crop": RandomResizedCrop(16, longest_side=99), "flip_crop": FlipCrop()})
    assert (steps.needs_whole, steps.longest_side) == (True, 99)
    images, _ = steps(random_images(2, 3, 30, 40), None, RandomStream(0), torch.tensor([[30, 20], [10, 40]]))
    assert images.shape == (2, 3, 16, 16)
    assert not Compose({"flip_crop": FlipCrop()}).needs_whole


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_does_not_blur(autocast: bool) -> None:
    """Partners' views are made where mixers compute in half precision."""
    images = random_images(4, 3, 40, 30)
    crop = RandomResizedCrop(32)
    expected, _ = crop(images, None, RandomStream(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, _ = crop(images, None, RandomStream(0))
    assert torch.equal(found, expected)


def test_the_ratio_s_logarithm_is_uniform() -> None:
    """Not the ratio: tall and wide parts are equally likely."""
    boxes = RandomResizedCrop(8, (0.1, 0.2)).boxes(torch.tensor([2000, 2000]).expand(DRAWS, 2), RandomStream(0))
    logarithm = (boxes[:, 3] / boxes[:, 2]).log()
    assert abs(float(logarithm.mean())) < 4 * math.log(4 / 3) / math.sqrt(3 * DRAWS)


def test_nothing_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the meta device have no values, so that reading one is an error."""
    rng, meta = RandomStream(0), torch.device("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know that device
    rng.place, rng.device = meta, None  # type: ignore[assignment]
    images, segments = torch.zeros(2, 3, 20, 30, dtype=torch.uint8, device=meta), torch.zeros(2, 20, 30, device=meta)
    for sizes in (None, torch.zeros(2, 2, dtype=torch.int64, device=meta)):
        cropped, moved = RandomResizedCrop(16)(images, segments, rng, sizes)
        assert moved is not None
        assert (cropped.shape, moved.shape) == ((2, 3, 16, 16), (2, 16, 16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"scale": (0.5, 0.1)}, r"scale must be two positive values in ascending order, got \[0.5, 0.1\]"),
        ({"scale": (0.5, 1.1)}, r"scale must be at most 1, got \[0.5, 1.1\]"),
        ({"ratio": (0.0, 1.0)}, "ratio must be two positive values"),
        ({"interpolation": "nearest"}, "interpolation must be bilinear or bicubic, got nearest"),
        ({"flip": 1.5}, r"flip must be in \[0, 1\], got 1.5"),
        ({"longest_side": 0}, "longest_side must be at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**settings)
