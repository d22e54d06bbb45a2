"""Several mixers one after another, such as MiAMix across classes after ChimeraMix within them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from chimeramix.mixing.base import Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Several(Mixer):
    """What `Chain` and `OneOf` have in common: mixers by name (the names serve overrides on the command line)."""

    def __init__(
        self, num_classes: int, mixers: Mapping[str, Mixer], rng: RandomStream | torch.Generator | int | None = None
    ) -> None:
        super().__init__(num_classes, 1.0, rng)
        if not mixers:
            raise ValueError("mixers must hold at least one mixer")
        self._in_order = list(mixers.values())
        self.mixers = nn.ModuleList(self._in_order)
        self.only_cuts = all(mixer.only_cuts for mixer in self._in_order)
        self._seed_parts(self._in_order)

    def check(self, image_size: int) -> None:
        for mixer in self._in_order:
            mixer.check(image_size)


class Chain(Several):
    """Applies mixers in their order; each gets the images and soft targets of the one before.

    Args:
        num_classes: `K`.
        mixers: by name. Those that draw same-class partners or decode latent codes come first: they need class numbers
            as labels. One that draws second views gets them from the mixers before it.
        rng: with a seed or a generator, mixers that have none get seeds from it.

    Raises:
        ValueError: for no mixers, and for an order that can't work.
    """

    def __init__(
        self, num_classes: int, mixers: Mapping[str, Mixer], rng: RandomStream | torch.Generator | int | None = None
    ) -> None:
        super().__init__(num_classes, mixers, rng)
        for position, (name, mixer) in enumerate(mixers.items()):
            if position and mixer.partners is not None:
                raise ValueError(f"mixers.{name} must come first: it needs class numbers, not the targets of another")
            if position and mixer.views is not None:
                mixer.views = _MixedViews(mixer.views, self._in_order[:position])

    def mix_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return _mix_all(self._in_order, batch)


class _MixedViews:
    """Second views that went through the same mixers as the first."""

    def __init__(self, views: Callable[[Tensor], Batch], mixers: Sequence[Mixer]) -> None:
        self._views = views
        self._mixers = mixers

    def __call__(self, index: Tensor) -> Batch:
        batch = self._views(index)
        images, targets = _mix_all(self._mixers, batch)
        return Batch(images, targets, batch.index)


def _mix_all(mixers: Sequence[Mixer], batch: Batch) -> tuple[Tensor, Tensor]:
    for mixer in mixers:
        images, targets = mixer.mix(batch)
        # Superpixels and second views belong to the images as they were.
        batch = replace(batch, images=images, labels=targets, segments=None, second=None)
    return batch.images, batch.labels
