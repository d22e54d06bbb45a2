"""Dropout with 16 bits a value, against what dropout is."""

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from chimeramix.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_the_share_that_is_dropped(p: float) -> None:
    """Of a million values, within five standard deviations; what is kept is scaled to keep the mean."""
    torch.manual_seed(0)
    outputs = Dropout(p)(torch.ones(1000, 1001))
    dropped = (outputs == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=5 * (p * (1 - p) / 1_001_000) ** 0.5)
    assert outputs.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert outputs.unique().numel() == 2


def test_neighbours_are_independent() -> None:
    """The patterns of four values that share 64 bits, and of values four apart, are as likely as they should be."""
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).long()
    for groups in (kept.view(-1, 4), kept.view(-1, 4, 4)[:, :, 0]):
        patterns = (groups * torch.tensor([8, 4, 2, 1])).sum(1).bincount(minlength=16)
        assert chisquare(patterns).pvalue > 1e-4


def test_gradients_pass_where_values_do() -> None:
    inputs = torch.randn(50, 3, requires_grad=True)
    outputs = Dropout(0.3)(inputs)
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    torch.testing.assert_close(outputs.detach(), gradient * inputs.detach())


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 7), (2, 5, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    inputs = torch.ones(shape, dtype=dtype)
    outputs = Dropout(0.3)(inputs)
    assert (outputs.shape, outputs.dtype) == (inputs.shape, inputs.dtype)


def test_channels_last_stay_channels_last() -> None:
    inputs = torch.ones(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    assert Dropout(0.3)(inputs).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(p: float) -> None:
    inputs = torch.ones(100)
    assert torch.equal(Dropout(p)(inputs), nn.Dropout(p)(inputs))


def test_evaluation_changes_nothing() -> None:
    inputs = torch.randn(10)
    assert Dropout(0.3).eval()(inputs) is inputs


def test_the_seed_decides() -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(Dropout(0.3)(torch.ones(1000)))
    assert torch.equal(*results)
