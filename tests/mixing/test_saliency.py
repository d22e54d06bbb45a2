"""Saliency against OpenCV's map of a picture, and against a loop over pixels."""

import pytest
import torch
from torch import Tensor

from chimeramix.mixing.saliency import fine_grained_saliency


def formula() -> Tensor:
    """`[3, 12, 16]` whole numbers from 0 to 255."""
    y, x = torch.meshgrid(torch.arange(12), torch.arange(16), indexing="ij")
    image = torch.stack([x * y * 7 % 256, (x * x + 31 * y) % 256, (255 - 13 * x - 5 * y) % 256])
    image[:, 0, 0], image[:, 11, 15] = 0, 255
    return image


# Rows 0, 5 and 11 of cv2.saliency.StaticSaliencyFineGrained_create().computeSaliency of this picture (as 8-bit BGR),
# times 255, by OpenCV 5.0.0; and the sum over all rows.
OPENCV = {
    0: [255, 249, 236, 223, 210, 194, 171, 148, 119, 87, 48, 9, 34, 52, 20, 2],
    5: [24, 35, 75, 125, 176, 219, 239, 219, 176, 125, 58, 12, 65, 79, 60, 47],
    11: [138, 113, 64, 45, 58, 48, 12, 3, 15, 35, 58, 98, 155, 174, 130, 91],
}
OPENCV_SUM = 17661


def pictures(count: int, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, 16, 20, generator=torch.Generator().manual_seed(0))


def test_opencvs_map() -> None:
    saliency = (fine_grained_saliency(formula()[None].float())[0] * 255).round().long()
    for row, expected in OPENCV.items():
        assert saliency[row].tolist() == expected
    assert saliency.sum() == OPENCV_SUM


def test_against_a_loop_over_pixels() -> None:
    """Centre minus the mean of its surroundings, brighter and darker parts stretched apart, then together."""
    grey = torch.randint(256, (9, 11), generator=torch.Generator().manual_seed(1))
    grey[0, 0], grey[8, 10] = 0, 255
    blurred = grey.tolist()
    for _ in range(2):
        before = blurred

        def at(y: int, x: int, image: list[list[int]] = before) -> int:
            return image[8 - abs(8 - abs(y))][10 - abs(10 - abs(x))]

        blurred = [
            [
                (sum((2 - abs(j)) * (2 - abs(i)) * at(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)) + 8) // 16
                for x in range(11)
            ]
            for y in range(9)
        ]
    on, off = torch.zeros(9, 11), torch.zeros(9, 11)
    for reach in (12, 24, 48, 28, 56, 112):  # all of them span the whole image here, as the windows 12 nearly do
        for y in range(9):
            for x in range(11):
                others = [
                    blurred[j][i]
                    for j in range(max(0, y - reach + 1), min(9, y + reach + 1))
                    for i in range(max(0, x - reach + 1), min(11, x + reach + 1))
                    if (j, i) != (y, x)
                ]
                difference = blurred[y][x] - sum(others) / len(others)
                on[y, x] += int(max(difference, 0))
                off[y, x] += int(max(-difference, 0))
    both = (255 * on.double() / on.max()).floor() + (255 * off.double() / off.max()).floor()
    expected = (255 * both / both.max()).floor() / 255
    torch.testing.assert_close(fine_grained_saliency(grey[None, None].float())[0].double(), expected, atol=1e-6, rtol=0)


def test_a_bright_and_a_dark_spot_are_salient() -> None:
    image = torch.full((1, 1, 32, 32), 0.5)
    image[0, 0, 8, 9], image[0, 0, 20, 25] = 1.0, 0.0
    saliency = fine_grained_saliency(image)[0]
    largest = saliency.flatten().argsort(descending=True)[:2].tolist()
    assert sorted(divmod(place, 32) for place in largest) == [(8, 9), (20, 25)]


def test_stretching_and_shifting_values_changes_nothing() -> None:
    image = formula()[None].double()
    torch.testing.assert_close(fine_grained_saliency(image), fine_grained_saliency(image / 64 - 3), rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_its_images(channels: int) -> None:
    images = pictures(5, channels)
    single = torch.cat([fine_grained_saliency(image[None]) for image in images])
    assert torch.equal(fine_grained_saliency(images), single)


def test_a_flat_image_has_none() -> None:
    assert (fine_grained_saliency(torch.full((2, 3, 8, 8), 0.3)) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    images = pictures(4).to(dtype)
    saliency = fine_grained_saliency(images)
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency, fine_grained_saliency(images.float()), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 2, 8, 8), (1, 3, 1, 8)])
def test_what_is_no_batch_of_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="images must be"):
        fine_grained_saliency(torch.zeros(shape))
