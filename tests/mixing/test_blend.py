"""Blending against torchvision's MixUp and CutMix, given their ratio, their box and their pairs."""

import pytest
import torch
from torchvision.transforms import v2

from chimeramix.mixing import CutMix, MixUp
from chimeramix.mixing.blend import blend
from chimeramix.mixing.cutmix import box
from chimeramix.streams import RandomStream


class Always:
    """In the place of a distribution: draws one value."""

    def __init__(self, value: float) -> None:
        self.value = torch.tensor(value)

    def sample(self, shape: tuple[int, ...]) -> torch.Tensor:
        return self.value


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 20, 24, generator=generator), torch.randint(4, (6,), generator=generator)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_torchvisions_mixup(ratio: float) -> None:
    images, labels = batch()
    theirs = v2.MixUp(num_classes=4)
    theirs._dist = Always(ratio)
    one_hot = torch.eye(4)[labels]
    mask = torch.full((6, 1, 1, 1), ratio)
    ours = blend(images, images.roll(1, 0), mask, one_hot, one_hot.roll(1, 0))[:2]
    torch.testing.assert_close(ours, theirs(images, labels))


@pytest.mark.parametrize("ratio", [0.2, 0.6])
def test_torchvisions_cutmix(ratio: float) -> None:
    images, labels = batch()
    theirs = v2.CutMix(num_classes=4)
    theirs._dist = Always(ratio)
    torch.manual_seed(3)
    expected = theirs(images, labels)
    torch.manual_seed(3)
    column, row = torch.randint(24, (1,)), torch.randint(20, (1,))
    mask = 1 - box(row, column, torch.tensor([1 - ratio]), 20, 24)
    one_hot = torch.eye(4)[labels]
    torch.testing.assert_close(blend(images, images.roll(1, 0), mask, one_hot, one_hot.roll(1, 0))[:2], expected)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_ratios_are_a_beta_distribution(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)), and the quantiles of a large sample of torch's own."""
    draws = RandomStream(0).beta(alpha, 100_000)
    assert draws.mean().item() == pytest.approx(0.5, abs=0.005)
    assert draws.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)
    torch.manual_seed(0)
    reference = torch.distributions.Beta(alpha, alpha).sample((100_000,))
    quantiles = torch.tensor([0.1, 0.3, 0.7, 0.9])
    torch.testing.assert_close(draws.quantile(quantiles), reference.quantile(quantiles), atol=0.01, rtol=0)


def test_one_ratio_for_the_whole_batch() -> None:
    """With two classes that alternate, the weight of the own label takes two values at most: the ratio, and 1."""
    images, labels = torch.zeros(40, 3, 8, 8), torch.arange(40) % 2
    _, targets = MixUp(2, per="batch", rng=0)(images, labels)
    assert len(targets.max(1).values.unique()) <= 2
    _, targets = CutMix(2, per="sample", rng=0)(images, labels)
    assert len(targets.max(1).values.unique()) > 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, "alpha must be at least 0.01"),
        ({"per": "image"}, "per must be"),
        ({"probability": 2.0}, "proba"),
    ],
)
def test_bad_parameters_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixUp(3, **settings)  # type: ignore[arg-type]
