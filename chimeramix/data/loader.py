"""Goes through the subset epoch by epoch; can stop after any batch and resume there."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from chimeramix.data.views import Views
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class EpochLoader:
    """Iterating yields what is left of the current epoch, in batches; the next iteration starts a new epoch.

    An epoch is the subset repeated `repeats` times in random order (ChimeraMix 4.1: repetition keeps an epoch's length
    about constant over the number of samples). The last, smaller batch is kept. Images without labels, which stand at
    the subset's end, follow once, in batches of their own.

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
        self._labelled = int((views.subset.labels >= 0).sum())
        self._order: torch.Tensor | None = None
        self._position = 0

    @property
    def samples(self) -> int:
        """Images in an epoch."""
        return self._repeated + self._unlabelled

    @property
    def image_size(self) -> int:
        """Side of the images, S."""
        return self._views.subset.images.shape[-1]

    @property
    def _repeated(self) -> int:
        return self._repeats * self._labelled

    @property
    def _unlabelled(self) -> int:
        return len(self._views.subset) - self._labelled

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self._repeated // self._batch_size) - (-self._unlabelled // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for index, labelled in self.positions():
            yield self.batch(index, labelled)

    def batch(self, index: torch.Tensor, labelled: bool) -> Batch:
        """The images at these positions in the subset `[B]`, in fresh views."""
        batch = self._views(index)
        return batch if labelled else replace(batch, labelled=False)

    def positions(self) -> Iterator[tuple[torch.Tensor, bool]]:
        """What is left of the epoch as positions in the subset `[B]`, on its device, and whether these have labels."""
        device = self._views.subset.images.device
        if self._order is None:
            self._order = torch.randperm(self._repeated, generator=self._rng.host) % self._labelled
            if self._unlabelled:
                rest = self._labelled + torch.randperm(self._unlabelled, generator=self._rng.host)
                self._order = torch.cat([self._order, rest])
            self._position = 0
        order = self._order.to(device)
        while self._position < self.samples:
            labelled = self._position < self._repeated
            end = self._position + self._batch_size
            index = order[self._position : min(end, self._repeated) if labelled else end]
            self._position += len(index)
            yield index, labelled
        self._order = None

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order = state["order"]
        self._position = state["position"]
