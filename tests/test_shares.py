"""Compositions under masks for two or more images, place by place."""

import pytest
import torch
from torch import Tensor

from chimeramix.shares import combine, images_of, pictures_of


def groups(images: int, batch: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """`[N * B, 4, 6, 5]` in the order of groups: all first images, all second ones, ..."""
    generator = torch.Generator().manual_seed(images)
    return torch.randn(images * batch, 4, 6, 5, generator=generator, dtype=dtype)


def soft_shares(images: int, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, images, 6, 5, generator=generator, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("images", [2, 3, 4, 8])
def test_the_sum_of_shares_place_by_place(images: int) -> None:
    parts, shares = groups(images, dtype=torch.float64), soft_shares(images)
    made = combine(parts, shares)
    for sample in range(3):
        for row in range(6):
            for column in range(5):
                expected = torch.zeros(4, dtype=torch.float64)
                for number in range(images):
                    expected += shares[sample, number, row, column] * parts[number * 3 + sample, :, row, column]
                torch.testing.assert_close(made[sample, :, row, column], expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("images", [3, 8])
def test_a_whole_share_gives_the_images_own_values(images: int, dtype: torch.dtype) -> None:
    """To the bit, in every precision that features come in."""
    parts = groups(images).to(dtype)
    owner = torch.randint(images, (3, 6, 5), generator=torch.Generator().manual_seed(1))
    made = combine(parts, torch.nn.functional.one_hot(owner, images).permute(0, 3, 1, 2).float())
    assert made.dtype == dtype
    for sample in range(3):
        for row in range(6):
            for column in range(5):
                number = int(owner[sample, row, column])
                assert torch.equal(made[sample, :, row, column], parts[number * 3 + sample, :, row, column])


def test_two_images_have_one_weight() -> None:
    """As `ChimeraNetwork.mix` has it, to the bit; one mask may serve all samples."""
    parts, weight = groups(2), torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(combine(parts, weight), torch.lerp(parts[3:], parts[:3], weight))
    assert torch.equal(combine(parts, weight[:1]), torch.lerp(parts[3:], parts[:3], weight[:1]))


def test_gradients_are_the_shares() -> None:
    parts, shares = groups(3, dtype=torch.float64).requires_grad_(), soft_shares(3)
    combine(parts, shares).sum().backward()
    assert parts.grad is not None
    expected = shares.transpose(0, 1).flatten(0, 1)[:, None].expand_as(parts)
    torch.testing.assert_close(parts.grad, expected)


@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (3, 1, 6, 5), (1, 3, 6, 5), (3, 3, 5, 6), (2, 3, 6, 5)])
def test_masks_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    """Nine maps are three groups of three: a mask of one channel would take them for pairs."""
    with pytest.raises(ValueError, match=r"a mask .* does not fit 9 maps of 6x5"):
        combine(groups(3), torch.ones(shape))


def test_masks_without_a_number_are_for_two_images() -> None:
    class Own:
        segmentation = None

    assert images_of(Own()) == 2
    assert images_of(None) == 2


def test_pictures_have_a_grey_for_each_image() -> None:
    shares = torch.eye(3)[None, :, None]  # three places in a row, one for each image
    assert pictures_of(shares).flatten().tolist() == [1, 0.5, 0]
    assert torch.equal(pictures_of(shares[:, :1]), shares[:, :1])
