"""ChimeraMix and its pixel-space ablation against loops over samples."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from chimeramix.generators.networks import ChimeraNetwork
from chimeramix.masks.grid import GridMask
from chimeramix.mixing import ChimeraMix, DirectMix, Identity
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class ReversedPartners:
    """The batch in reverse order, and a note of what was asked."""

    asked: bool | None = None

    def check(self, include_self: bool) -> None:
        self.asked = include_self

    def __call__(self, batch: Batch, include_self: bool) -> Batch:
        return Batch(batch.images.flip(0), batch.labels.flip(0))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1, torch.tensor([2, 2, 2, 2]))


def network(image_size: int) -> ChimeraNetwork:
    torch.manual_seed(0)
    made = ChimeraNetwork(features=4, blocks=2, split=1)
    made.image_size = image_size
    return made.requires_grad_(False)


@pytest.mark.parametrize("resize", ["matched", "official"])
@pytest.mark.parametrize("image_size", [32, 64])
def test_compositions_sample_by_sample(batch: Batch, image_size: int, resize: str) -> None:
    """Enlarge, encode, mix, decode and reduce each pair by itself."""
    generator = network(image_size)
    mixer = ChimeraMix(3, generator, ReversedPartners(), GridMask(4), probability=1, resize=resize, rng=RandomStream(5))
    images, targets = mixer.mix(batch)
    rng = RandomStream(5)
    rng.coin(1)
    masks = GridMask(4)(batch, batch, image_size // 4, rng)

    def fit(image: torch.Tensor, size: int) -> torch.Tensor:
        if image.shape[-1] == size:
            return image
        return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=resize == "official")

    for sample in range(4):
        first = generator.encoder(fit(batch.images[sample][None], image_size))
        second = generator.encoder(fit(batch.images[3 - sample][None], image_size))
        mixed = masks[sample] * first + (1 - masks[sample]) * second
        expected = fit(generator.decoder(mixed), 32)[0]
        torch.testing.assert_close(images[sample], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(targets, F.one_hot(batch.labels, 3).float())
    assert not images.requires_grad


def test_no_gradient_reaches_the_generator(batch: Batch) -> None:
    generator = network(32).requires_grad_(True)
    images, _ = ChimeraMix(3, generator, ReversedPartners(), GridMask(4), probability=1).mix(batch)
    assert images.grad_fn is None
    assert all(parameter.grad is None for parameter in generator.parameters())


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_share_of_replaced_batches(batch: Batch, probability: float) -> None:
    """One draw per batch: it is replaced as a whole or passes as it is, with one-hot targets."""
    mixer = DirectMix(3, ReversedPartners(), GridMask(4), probability, rng=RandomStream(0))
    replaced = 0
    for _ in range(1000):
        images, targets = mixer.mix(batch)
        replaced += images is not batch.images
        assert torch.equal(targets, F.one_hot(batch.labels, 3).float())
    assert replaced / 1000 == pytest.approx(probability, abs=0.06)


def test_pixels_come_from_one_image_or_the_other() -> None:
    """Images of constant value show the mask itself; at 32 pixels blocks are 10 wide."""
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    batch = Batch(values.view(4, 1, 1, 1).expand(4, 3, 32, 32), torch.zeros(4, dtype=torch.long))
    images, _ = DirectMix(2, ReversedPartners(), GridMask(4), 1.0, rng=RandomStream(7)).mix(batch)
    rng = RandomStream(7)
    rng.coin(1)
    mask = GridMask(4)(batch, batch, 32, rng)
    for sample in range(4):
        for channel in range(3):
            expected = torch.where(mask[sample, 0] == 1, values[sample], values[3 - sample])
            assert torch.equal(images[sample, channel], expected)


def test_blending_at_another_size_softens_edges() -> None:
    batch = Batch(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32), torch.zeros(2, dtype=torch.long))
    native, _ = DirectMix(2, ReversedPartners(), GridMask(4), 1.0, rng=RandomStream(0)).mix(batch)
    reduced, _ = DirectMix(2, ReversedPartners(), GridMask(4), 1.0, direct_size=64, rng=RandomStream(0)).mix(batch)
    assert native.shape == reduced.shape == (2, 3, 32, 32)
    assert set(native.unique().tolist()) == {0.0, 1.0}
    assert len(reduced.unique()) > 2


def test_include_self_reaches_the_partners(batch: Batch) -> None:
    partners = ReversedPartners()
    DirectMix(3, partners, GridMask(4), include_self=False)
    assert partners.asked is False


def test_mixers_stand_where_torchvisions_do(batch: Batch) -> None:
    """Called as `v2.MixUp` is, with the same shapes and types coming out."""
    expected_images, expected_targets = v2.MixUp(num_classes=3)(batch.images, batch.labels)
    for mixer in (Identity(3), DirectMix(3, ReversedPartners(), GridMask(4), 1.0)):
        images, targets = mixer(batch.images, batch.labels)
        assert images.shape == expected_images.shape
        assert images.dtype == expected_images.dtype
        assert targets.shape == expected_targets.shape
        assert targets.dtype == expected_targets.dtype


def test_soft_labels_stay_as_they_are(batch: Batch) -> None:
    soft = torch.rand(4, 3).softmax(1)
    assert torch.equal(Identity(3)(batch.images, soft)[1], soft)


def test_masks_too_fine_for_the_images_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match="at most the 8 positions"):
        ChimeraMix(3, network(32), ReversedPartners(), GridMask(9)).check(32)
    with pytest.raises(ValueError, match="at most the 32 positions"):
        DirectMix(3, ReversedPartners(), GridMask(40)).check(32)
