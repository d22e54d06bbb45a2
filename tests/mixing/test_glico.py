"""GLICO's replacement of images, with a generator whose images show their code."""

import pytest
import torch
from torch import Tensor

from chimeramix.generators.latent import slerp
from chimeramix.mixing import GLICO
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

COUNT = 6
PARTNER = torch.tensor([3, 4, 5, 0, 1, 2])


class Generator:
    """Three-dimensional codes; an image's channels are its code."""

    image_size = 4

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.codes = torch.nn.functional.normalize(torch.randn(COUNT, 3, generator=generator), dim=1)

    def interpolate(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        return slerp(first, second, share)

    def decode(self, codes: Tensor, rng: RandomStream) -> Tensor:
        return codes[:, :, None, None].expand(-1, -1, 4, 4)


class Partners:
    def check(self, include_self: bool) -> None: ...

    def index(self, batch: Batch, include_self: bool) -> Tensor:
        assert batch.index is not None
        return PARTNER[batch.index]

    def __call__(self, batch: Batch, include_self: bool) -> Batch:
        raise NotImplementedError


def mix(repeats: int = 200, **settings: object) -> tuple[Tensor, Tensor, Tensor]:
    """Images' first pixels `[B, 3]`, targets and index of a batch of zeros."""
    index = torch.arange(COUNT).repeat(repeats)
    mixer = GLICO(3, Generator(), Partners(), rng=0, **settings)  # type: ignore[arg-type]
    images, targets = mixer.mix(Batch(torch.zeros(len(index), 3, 4, 4), index % 3, index))
    return images[:, :, 0, 0], targets, index


def test_replaced_images_lie_between_their_code_and_the_partners() -> None:
    codes, targets, index = mix(probability=1)
    own = Generator().codes
    steps = torch.zeros(len(index), dtype=torch.long)
    for n, code in enumerate(codes):
        i = int(index[n])
        j = int(PARTNER[i])
        shares = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
        candidates = slerp(own[i].expand(4, 3), own[j].expand(4, 3), shares)
        distance = (candidates - code).norm(dim=1)
        assert distance.min() < 1e-5
        steps[n] = distance.argmin()
    assert (steps.bincount(minlength=4) / len(index)).tolist() == pytest.approx([0.25] * 4, abs=0.05)
    assert torch.equal(targets, torch.eye(3)[index % 3])


def test_each_image_is_replaced_or_not() -> None:
    codes, _, _ = mix(probability=0.3)
    assert (codes != 0).any(1).float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_a_batch_is_replaced_or_not() -> None:
    shares = set()
    own = Generator().codes
    for seed in range(20):
        mixer = GLICO(3, Generator(), Partners(), per="batch", rng=seed)
        index = torch.arange(COUNT)
        images, _ = mixer.mix(Batch(torch.zeros(COUNT, 3, 4, 4), index % 3, index))
        codes = images[:, :, 0, 0]
        replaced = (codes != 0).any(1)
        assert len(replaced.unique()) == 1
        if replaced.all():
            fits = [
                step
                for step in (0.1, 0.2, 0.3, 0.4)
                if torch.allclose(slerp(own, own[PARTNER], torch.full((COUNT, 1), step)), codes, atol=1e-5)
            ]
            assert len(fits) == 1
            shares.update(fits)
    assert len(shares) > 1


def test_lerp_goes_along_the_chord() -> None:
    codes, _, index = mix(probability=1, interpolation="lerp", steps=[0.25])
    own = Generator().codes
    torch.testing.assert_close(codes, 0.75 * own[index] + 0.25 * own[PARTNER[index]])


def test_images_from_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match="positions in the subset"):
        GLICO(3, Generator(), Partners())(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))


def test_another_size_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"4 pixels.*takes 32.*generator\.image_size=32"):
        GLICO(3, Generator(), Partners()).check(32)


@pytest.mark.parametrize("settings", [{"per": "image"}, {"steps": []}, {"steps": [1.5]}, {"interpolation": "nlerp"}])
def test_bad_parameters_are_named(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GLICO(3, Generator(), Partners(), **settings)  # type: ignore[arg-type]


def test_a_generator_without_codes_is_refused() -> None:
    with pytest.raises(ValueError, match="generator=glico"):
        GLICO(3, object(), Partners())  # type: ignore[arg-type]
