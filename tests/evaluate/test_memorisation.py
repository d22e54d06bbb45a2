"""Distances to the nearest training image against loops over pairs, and reconstruction errors against scikit-image."""

import math

import numpy as np
import pytest
import skimage.metrics
import torch
from torch import Tensor

from chimeramix.evaluate.memorisation import memorisation, nearest, pixels
from chimeramix.evaluate.reconstruction import compare


def noise(count: int, seed: int) -> Tensor:
    return torch.randint(256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def distance(first: Tensor, second: Tensor) -> float:
    """Root mean square of the differences of the values in [0, 1]."""
    a, b = (image.numpy().astype(np.float64).ravel() / 255 for image in (first, second))
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a))


def test_the_nearest_image_is_that_of_a_loop_over_pairs() -> None:
    images, training = noise(200, 0), noise(6, 1)
    distances, positions = nearest(pixels(images), pixels(training))
    for place in (0, 1, 130, 199):  # in both chunks
        every = [distance(images[place], each) for each in training]
        assert float(distances[place]) == pytest.approx(min(every), rel=1e-5)
        assert int(positions[place]) == every.index(min(every))


def test_a_copy_has_distance_0_and_one_grey_level_is_seen() -> None:
    training = noise(5, 0).clamp(max=254)
    copy, changed = training[3:4], training[3:4].clone()
    changed[0, 0, 0, 0] += 1
    assert nearest(pixels(copy), pixels(training))[0].tolist() == [0]
    assert float(nearest(pixels(changed), pixels(training))[0]) == pytest.approx(1 / 255 / math.sqrt(192), rel=1e-3)


def test_training_images_are_compared_with_each_other_and_not_with_themselves() -> None:
    training, labels = noise(7, 1), torch.tensor([0, 0, 0, 1, 1, 2, 0])
    summary, distances, positions = memorisation({"compositions": pixels(noise(9, 0))}, pixels(training), labels, None)

    def of_loop(same_class: bool) -> list[float]:
        found = []
        for i, first in enumerate(training):
            others = [j for j in range(7) if j != i and (labels[i] == labels[j] or not same_class)]
            if others:  # class 2 has a single image
                found.append(min(distance(first, training[j]) for j in others))
        return found

    for name, same_class in (("to another one", False), ("to another of the class", True)):
        expected = of_loop(same_class)
        assert distances[f"training images, {name}"].tolist() == pytest.approx(expected, rel=1e-5)
        row = summary[f"training images, {name}"]
        assert (row.images, row.median) == (len(expected), pytest.approx(np.quantile(expected, 0.5), rel=1e-5))
    assert positions.equal(nearest(pixels(noise(9, 0)), pixels(training))[1])
    row, every = summary["compositions"], distances["compositions"].numpy()
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(every, [0.05, 0.95])), rel=1e-5)
    assert row.close == pytest.approx((every < np.quantile(of_loop(False), 0.05)).mean())


def test_near_copies_are_close_and_their_sources_nearest() -> None:
    """Of ten compositions six are training images but for a grey level; two of these name another source."""
    training = noise(10, 0).clamp(max=254)
    compositions = torch.cat([training[:6] + 1, noise(4, 1)])
    sources = torch.tensor([[0, 9], [9, 1], [2, 2], [3, 9], [8, 9], [8, 9], *[[9, 9]] * 4])
    found = nearest(pixels(compositions), pixels(training))[1]
    by_chance = sum(position == 9 for position in found[6:].tolist())
    summary, _, _ = memorisation(
        {"compositions": pixels(compositions)}, pixels(training), torch.zeros(10).long(), sources
    )
    assert summary["compositions"].of_sources == pytest.approx((4 + by_chance) / 10)
    assert summary["compositions"].close == pytest.approx(0.6, abs=0.1)


def test_one_training_image_has_no_other_to_be_compared_with() -> None:
    summary, _, _ = memorisation({"compositions": pixels(noise(3, 0))}, pixels(noise(1, 1)), torch.tensor([0]), None)
    assert summary.keys() == {"compositions"}
    assert summary["compositions"].close is None


def test_reconstruction_errors_are_those_of_scikit_image() -> None:
    images = noise(4, 0)
    others = (images.float() + 20 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    found = compare(images, others.byte())
    pairs = [[each.permute(1, 2, 0).numpy() for each in pair] for pair in zip(images, others.byte(), strict=True)]
    metrics = skimage.metrics
    assert found.images == 4
    assert found.mse == pytest.approx(np.mean([metrics.mean_squared_error(a / 255, b / 255) for a, b in pairs]))
    assert found.psnr == pytest.approx(np.mean([metrics.peak_signal_noise_ratio(a, b) for a, b in pairs]))
    similarity = [metrics.structural_similarity(a, b, channel_axis=2) for a, b in pairs]  # in uint8
    assert found.ssim == pytest.approx(np.mean(similarity), abs=1e-6)


def test_equal_images_have_120_dB() -> None:
    found = compare(noise(2, 0), noise(2, 0))
    assert (found.mse, found.psnr, found.ssim) == (0, pytest.approx(120), pytest.approx(1))
