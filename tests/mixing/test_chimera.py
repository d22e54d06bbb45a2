"""ChimeraMix and its pixel-space ablation against loops over samples."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.generators.networks import ChimeraNetwork
from chimeramix.masks.grid import GridMask
from chimeramix.masks.segments import SegmentMask
from chimeramix.mixing import ChimeraMix, DirectMix, Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask, Subset

LABELS = torch.tensor([2, 0, 2, 0, 0])
MASKS = {"grid": GridMask(4), "segments": SegmentMask(min_size=60)}


class ReversedPartners:
    """The batch in reverse order, upside down, and a note of what was asked."""

    def __init__(self) -> None:
        self.checked: list[bool] = []
        self.asked: list[bool] = []

    def check(self, include_self: bool) -> None:
        self.checked.append(include_self)

    def __call__(self, batch: Batch, include_self: bool) -> Batch:
        self.asked.append(include_self)
        segments = None if batch.segments is None else batch.segments.flip(0, 1)
        return Batch(batch.images.flip(0, 2), batch.labels.flip(0), None, segments)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 3, 32, 32, generator=generator) * 2 - 1
    stripes = (torch.arange(32) // 7).expand(5, 32, 32)
    return Batch(images, LABELS, None, stripes + torch.arange(5).view(5, 1, 1))


def network(image_size: int) -> ChimeraNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ChimeraNetwork(features=4, blocks=2, split=1)
    made.image_size = image_size
    return made


def masks_again(mask: Mask, batch: Batch, size: int, seed: int) -> Tensor:
    """What a mixer draws from a stream of this seed: a coin, then the masks."""
    rng = RandomStream(seed)
    rng.coin(1)
    return mask(batch, ReversedPartners()(batch, True), size, rng)


def resized(image: Tensor, size: int, align_corners: bool) -> Tensor:
    if image.shape[-1] == size:
        return image
    return F.interpolate(image[None], size=(size, size), mode="bilinear", align_corners=align_corners)[0]


def subset_views() -> tuple[Subset, Views]:
    """Six images of two classes, each of one colour."""
    images = (40 * torch.arange(6)).to(torch.uint8).view(6, 1, 1, 1).expand(6, 3, 32, 32)
    subset = Subset(images, torch.tensor([0, 1, 0, 1, 0, 1]), 2)
    return subset, Views(subset, FlipCrop(), Normalize([0] * 3, [1 / 255] * 3, torch.device("cpu")), RandomStream(0))


@pytest.mark.parametrize("resize", ["matched", "official"])
@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("mask", MASKS)
def test_compositions_sample_by_sample(batch: Batch, mask: str, image_size: int, resize: str) -> None:
    """Enlarge, encode, mix, decode and reduce each pair by itself; in float64, but for the masks."""
    generator = network(image_size)
    mixer = ChimeraMix(3, generator, ReversedPartners(), MASKS[mask], 1.0, resize=resize, rng=RandomStream(5))
    images, targets = mixer.mix(batch)
    assert images.dtype == torch.float32

    masks = masks_again(MASKS[mask], batch, image_size // 4, seed=5).double()
    exact = copy.deepcopy(generator).double()
    aligned = resize == "official"
    for sample in range(5):
        first = resized(batch.images[sample].double(), image_size, aligned)
        second = resized(batch.images[4 - sample].flip(1).double(), image_size, aligned)
        mixed = masks[sample] * exact.encoder(first[None]) + (1 - masks[sample]) * exact.encoder(second[None])
        expected = resized(exact.decoder(mixed)[0], 32, aligned)
        # float32 through a dozen layers with instance norms: the largest difference is 4.5e-6 here.
        torch.testing.assert_close(images[sample].double(), expected, rtol=0, atol=1e-5)
    assert torch.equal(targets, F.one_hot(LABELS, 3).float())


def test_aligning_corners_makes_a_difference(batch: Batch) -> None:
    by_resize = [
        ChimeraMix(3, network(64), ReversedPartners(), GridMask(), 1.0, resize=resize, rng=RandomStream(0)).mix(batch)[
            0
        ]
        for resize in ("matched", "official")
    ]
    assert (by_resize[0] - by_resize[1]).abs().max() > 0.01


def test_no_gradient_is_recorded(batch: Batch) -> None:
    """Neither through the generator, whose parameters could take one here, nor to the images."""
    generator = network(32)
    assert all(parameter.requires_grad for parameter in generator.parameters())
    wanting = Batch(batch.images.clone().requires_grad_(), batch.labels)
    images, _ = ChimeraMix(3, generator, ReversedPartners(), GridMask(4), 1.0).mix(wanting)
    assert not images.requires_grad
    classifier = torch.nn.Linear(3 * 32 * 32, 3)
    classifier(images.flatten(1)).sum().backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert wanting.images.grad is None


def test_the_batch_and_the_generator_stay_as_they_are(batch: Batch) -> None:
    generator = network(32)
    before, images = copy.deepcopy(generator.state_dict()), batch.images.clone()
    for mixer in (
        ChimeraMix(3, generator, ReversedPartners(), GridMask(4), 1.0),
        DirectMix(3, ReversedPartners(), GridMask(4), 1.0),
    ):
        mixer.mix(batch)
    assert torch.equal(batch.images, images)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


@pytest.mark.parametrize("mask", MASKS)
def test_pixels_come_from_one_image_or_the_other(batch: Batch, mask: str) -> None:
    """Images of one colour show the mask itself, pixel by pixel, to the bit."""
    values = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    colours = Batch(values.view(5, 1, 1, 1).expand(5, 3, 32, 32), LABELS, None, batch.segments)
    images, targets = DirectMix(3, ReversedPartners(), MASKS[mask], 1.0, rng=RandomStream(7)).mix(colours)
    masks = masks_again(MASKS[mask], colours, 32, seed=7)
    for sample in range(5):
        for row in range(32):
            for column in range(32):
                owner = sample if masks[sample, 0, row, column] == 1 else 4 - sample
                assert images[sample, :, row, column].tolist() == [values[owner].item()] * 3
    assert torch.equal(targets, F.one_hot(LABELS, 3).float())


def test_blending_at_another_size(batch: Batch) -> None:
    """The published ablation enlarges ciFAIR to 64 pixels, mixes there and reduces, with aligned corners."""
    mixer = DirectMix(3, ReversedPartners(), GridMask(4), 1.0, direct_size=64, rng=RandomStream(3))
    images, _ = mixer.mix(batch)
    masks = masks_again(GridMask(4), batch, 64, seed=3)
    for sample in range(5):
        first = resized(batch.images[sample], 64, align_corners=True)
        second = resized(batch.images[4 - sample].flip(1), 64, align_corners=True)
        expected = resized(torch.where(masks[sample] == 1, first, second), 32, align_corners=True)
        torch.testing.assert_close(images[sample], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("kind", [ChimeraMix, DirectMix])
def test_include_self_reaches_the_partners(batch: Batch, kind: type[Mixer], include_self: bool) -> None:
    partners = ReversedPartners()
    generator = {"generator": network(32)} if kind is ChimeraMix else {}
    kind(3, partners=partners, mask=GridMask(4), probability=1.0, include_self=include_self, **generator).mix(batch)  # type: ignore[call-arg]
    assert partners.checked == [include_self]
    assert partners.asked == [include_self]


def test_with_partners_of_the_subset() -> None:
    """Only colours of the class appear, and without `include_self` two of them in a mask of more than one image."""
    subset, views = subset_views()
    partners = SameClassPartners(views, RandomStream(1))
    mixer = DirectMix(2, partners, GridMask(4), 1.0, include_self=False, rng=RandomStream(0))
    for _ in range(20):
        images, targets = mixer.mix(views(torch.arange(6)))
        for sample in range(6):
            numbers = {round(value / 40) for value in images[sample].unique().tolist()}
            assert sample in numbers
            assert len(numbers) == 2
            assert {int(subset.labels[number]) for number in numbers} == {int(subset.labels[sample])}
        assert torch.equal(targets, F.one_hot(subset.labels, 2).float())


@pytest.mark.parametrize("kind", [ChimeraMix, DirectMix])
def test_mixers_stand_where_torchvisions_do(kind: type[Mixer]) -> None:
    """Called as `v2.MixUp` is, on images and class numbers from anywhere, with the same shapes and types coming out."""
    _, views = subset_views()
    generator = {"generator": network(32)} if kind is ChimeraMix else {}
    partners = SameClassPartners(views, RandomStream(1))
    mixer = kind(2, partners=partners, mask=GridMask(4), probability=1.0, **generator)  # type: ignore[call-arg]
    images, labels = torch.rand(7, 3, 32, 32), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected_images, expected_targets = v2.MixUp(num_classes=2)(images, labels)
    mixed, targets = mixer(images, labels)
    assert (mixed.shape, mixed.dtype) == (expected_images.shape, expected_images.dtype)
    assert (targets.shape, targets.dtype) == (expected_targets.shape, expected_targets.dtype)
    assert not torch.equal(mixed, images)
    assert torch.equal(targets, F.one_hot(labels, 2).float())


def test_masks_too_fine_for_the_images_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match="at most the 8 positions"):
        ChimeraMix(3, network(32), ReversedPartners(), GridMask(9)).check(32)
    with pytest.raises(ValueError, match="at most the 32 positions"):
        DirectMix(3, ReversedPartners(), GridMask(40)).check(32)
    DirectMix(3, ReversedPartners(), GridMask(40), direct_size=64).check(32)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="resize must be matched or official, got bilinear"):
        ChimeraMix(3, network(32), ReversedPartners(), GridMask(), resize="bilinear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direct_size must be at least 1, got 0"):
        DirectMix(3, ReversedPartners(), GridMask(), direct_size=0)
