"""Either/or: one of several mixers for each batch, such as MixUp or CutMix (timm's `switch_prob`)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chimeramix.mixing.base import Mixer
from chimeramix.mixing.chain import Several
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class OneOf(Several):
    """Draws a mixer for each batch; the mixer's own probability then decides whether it mixes.

    Args:
        num_classes: `K`.
        mixers: by name.
        weights: relative frequency by the mixers' names; a mixer that isn't named isn't drawn. None draws all equally
            often.
        rng: with a seed or a generator, mixers that have none get seeds from it, too.

    Raises:
        ValueError: for no mixers, unknown names, negative weights and weights that sum to 0.
    """

    def __init__(
        self,
        num_classes: int,
        mixers: Mapping[str, Mixer],
        weights: Mapping[str, float] | None = None,
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, mixers, rng)
        weights = dict.fromkeys(mixers, 1.0) if weights is None else weights
        for name, weight in weights.items():
            if name not in mixers:
                raise ValueError(f"weights.{name}: there is no such mixer among {', '.join(mixers)}")
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights.{name} must not be negative, got {weight}")
        if not any(weights.values()):
            raise ValueError("weights must not all be 0")
        self._weights = [float(weights.get(name, 0)) for name in mixers]

    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.rng is None:  # so that a saved state also holds the streams of mixers that were not drawn yet
            for mixer in self._in_order:
                for part in mixer.modules():
                    if isinstance(part, Mixer):
                        part.stream(batch.images.device)
        rng = self.stream(batch.images.device)
        rest = sum(self._weights)
        for mixer, weight in zip(self._in_order[:-1], self._weights, strict=False):
            if rest > 0 and rng.coin(weight / rest):
                return mixer.mix(batch)
            rest -= weight
        return self._in_order[-1].mix(batch)
