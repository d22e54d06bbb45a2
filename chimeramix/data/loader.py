"""Goes through the subset epoch by epoch; can stop after any batch and go on there."""

from collections.abc import Iterator
from typing import Any

import torch

from chimeramix.data.views import Views
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class EpochLoader:
    """Iterating yields what is left of the current epoch, in batches; the next iteration starts a new epoch.

    An epoch is the subset repeated `repeats` times in random order (ChimeraMix 4.1: repetition keeps an epoch's length
    about constant over the number of samples). The last, smaller batch is kept.

    Raises:
        ValueError: for a batch size or a number of repeats below 1.
    """

    def __init__(self, views: Views, batch_size: int, repeats: int, rng: RandomStream) -> None:
        if batch_size < 1 or repeats < 1:
            raise ValueError(f"batch_size and repeats must be at least 1, got {batch_size} and {repeats}")
        self._views = views
        self._batch_size = batch_size
        self._repeats = repeats
        self._rng = rng
        self._order: torch.Tensor | None = None
        self._position = 0

    @property
    def samples(self) -> int:
        """Images in an epoch."""
        return self._repeats * len(self._views.subset)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.samples // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        device = self._views.subset.images.device
        if self._order is None:
            self._order = torch.randperm(self.samples, generator=self._rng.host) % len(self._views.subset)
            self._position = 0
        order = self._order.to(device)
        while self._position < self.samples:
            index = order[self._position : self._position + self._batch_size]
            self._position += len(index)
            yield self._views(index)
        self._order = None

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order = state["order"]
        self._position = state["position"]
