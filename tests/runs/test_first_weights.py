"""First weights come from a stream of their own, so that no other draw of the run repeats their numbers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from chimeramix.config.schema import Config
from chimeramix.runs import build


class Noting(nn.Module):
    """Notes the seed that it is made under, and draws."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.seed = torch.initial_seed()
        nn.Linear(num_classes, num_classes)


PART = {"_target_": f"{__name__}.Noting"}
MAKE: dict[str, Callable[[int], Any]] = {
    "generator": lambda seed: build.generator(Config(generator=PART, seed=seed)),
    "model": lambda seed: build.model(Config(model=PART, seed=seed), 3),
    "loss": lambda seed: build.loss(Config(loss=PART, seed=seed), 3),
}


@pytest.mark.parametrize("part", MAKE)
@pytest.mark.parametrize(("seed", "digits"), [(0, 0xB9F52686A65FED8C), (5, 0xCAE344B7C658AE10)], ids=["0", "5"])
def test_the_seed_of_first_weights_stays(part: str, seed: int, digits: int) -> None:
    """A change here would change every run. `printf weights/0 | sha256sum`: the first 16 digits, halved."""
    assert MAKE[part](seed).seed == digits >> 1


@pytest.mark.parametrize("part", MAKE)
def test_other_random_numbers_are_as_if_no_weights_were_drawn(part: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(5)
    torch.manual_seed(7)
    MAKE[part](0)
    assert torch.equal(torch.rand(5), expected)
