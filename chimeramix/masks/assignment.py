"""Which of N images each place of a sample shows: a grid's cells, or superpixels."""

from typing import Literal

import torch
from torch import Tensor

from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream

Rule = Literal["uniform", "dirichlet"]


class Assignment:
    """Draws for each place, independently of the others, one of N images.

    Args:
        images: N, at least 2.
        rule: `uniform` gives each image the same chance; `dirichlet` draws for each sample the images' chances, from a
            symmetric Dirichlet distribution.
        concentration: of that distribution; small ones give most places to one image, large ones tend to `uniform`.

    Raises:
        ValueError: for values out of range, and for a concentration without effect.
    """

    def __init__(self, images: int, rule: Rule, concentration: float) -> None:
        if images < 2:
            raise ValueError(f"images must be at least 2, got {images}")
        if rule not in ("uniform", "dirichlet"):
            raise ValueError(f"assign must be uniform or dirichlet, got {rule}")
        if concentration < SMALLEST_CONCENTRATION:
            raise ValueError(f"concentration must be at least {SMALLEST_CONCENTRATION}, got {concentration}")
        if rule == "uniform" and concentration != 1:
            raise ValueError(f"concentration={concentration} has no effect without assign=dirichlet")
        self.images = images
        self.rule = rule
        self.concentration = concentration

    def draw(self, rng: RandomStream, batch: int, *places: int) -> Tensor:
        """`[batch, *places]` int64 in 0..N-1: the image that each place shows, 0 for the first one."""
        if self.rule == "uniform":
            return self.images - 1 - rng.integers(self.images, batch, *places)  # of two images' coins 1 is the first
        parameters = torch.full((batch, self.images), self.concentration, dtype=torch.float32, device=rng.place)
        bounds = rng.dirichlet(parameters).cumsum(1)[:, :-1].contiguous()
        draws = rng.uniform(batch, *places)
        return torch.searchsorted(bounds, draws.flatten(1), right=True).view_as(draws)


def mask_of(owner: Tensor, images: int) -> Tensor:
    """The mask, float32, that gives each place `[B, h, w]` to the image of this number: the weight of the first of two
    images `[B, 1, h, w]`, or the shares `[B, N, h, w]` of more."""
    shown = torch.arange(1 if images == 2 else images, device=owner.device)
    return (owner[:, None] == shown.view(1, -1, 1, 1)).float()
