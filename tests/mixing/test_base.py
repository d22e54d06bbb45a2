"""What all mixers share: probability, targets, and the call that torchvision's mixers have."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from chimeramix.mixing import Identity, Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Negative(Mixer):
    """Mixes in a way that shows."""

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        rng.uniform(3)
        return -batch.images, self.targets(batch.labels)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_share_of_mixed_batches(images: Tensor, probability: float) -> None:
    """One coin per batch: all of its images are mixed, or the very same tensor comes back."""
    mixer = Negative(3, probability, RandomStream(0))
    mixed = 0
    for _ in range(2000):
        out, targets = mixer(images, LABELS)
        if out is not images:
            assert torch.equal(out, -images)
            mixed += 1
        assert torch.equal(targets, F.one_hot(LABELS, 3).float())
    # Five standard deviations; none where there is nothing to chance.
    assert mixed / 2000 == pytest.approx(probability, abs=5 * (probability * (1 - probability) / 2000) ** 0.5)


def test_the_coin_costs_one_draw_whatever_the_probability(images: Tensor) -> None:
    streams = RandomStream(0), RandomStream(0)
    Negative(3, 0.0, streams[0])(images, LABELS)
    streams[1].coin(0.5)
    assert torch.equal(streams[0].uniform(5), streams[1].uniform(5))


def test_same_seed_same_decisions(images: Tensor) -> None:
    def decisions(seed: int) -> list[bool]:
        mixer = Negative(3, 0.5, RandomStream(seed))
        return [mixer(images, LABELS)[0] is images for _ in range(30)]

    assert decisions(0) == decisions(0)
    assert decisions(0) != decisions(1)


def test_without_a_stream_the_global_seed_decides(images: Tensor) -> None:
    def decisions(seed: int) -> list[bool]:
        torch.manual_seed(seed)
        mixer = Negative(3, 0.5)
        return [mixer(images, LABELS)[0] is images for _ in range(30)]

    assert decisions(5) == decisions(5)
    assert decisions(5) != decisions(6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_without_a_stream_numbers_come_on_the_images_device(images: Tensor) -> None:
    mixer = Negative(3)
    mixer(images.cuda(), LABELS.cuda())
    assert mixer.rng is not None
    assert mixer.rng.uniform(1).is_cuda


def test_soft_labels_stay_as_they_are(images: Tensor) -> None:
    soft = torch.rand(4, 3).softmax(1)
    for mixer in (Identity(3), Negative(3, 0.0), Negative(3, 1.0)):
        assert torch.equal(mixer(images, soft)[1], soft)
    targets = Identity(3)(images, soft.double())[1]
    assert targets.dtype == torch.float32


def test_identity_passes_images_and_draws_nothing(images: Tensor) -> None:
    rng = RandomStream(0)
    out, targets = Identity(3, rng)(images, LABELS)
    assert out is images
    assert targets.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert torch.equal(rng.uniform(5), RandomStream(0).uniform(5))


@pytest.mark.parametrize("mixer", [Identity(3), Negative(3, 0.0), Negative(3, 1.0)])
@pytest.mark.parametrize("kind", [v2.MixUp, v2.CutMix])
def test_shapes_and_types_are_those_of_torchvisions_mixers(mixer: Mixer, kind: type, images: Tensor) -> None:
    expected_images, expected_targets = kind(num_classes=3)(images, LABELS)
    out, targets = mixer(images, LABELS)
    assert (out.shape, out.dtype) == (expected_images.shape, expected_images.dtype)
    assert (targets.shape, targets.dtype) == (expected_targets.shape, expected_targets.dtype)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


@pytest.mark.parametrize("probability", [-0.1, 1.01, float("nan")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\]"):
        Negative(3, probability)
