"""Training of a generator: feeds it with images or pairs, and draws pictures of what it makes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chimeramix.data.loader import EpochLoader
from chimeramix.data.views import SameClassPartners, Views
from chimeramix.generators import Generator
from chimeramix.machine import Machine
from chimeramix.shares import images_of
from chimeramix.streams import RandomStream, RunStreams
from chimeramix.training.pictures import draw_columns, picture_path
from chimeramix.types import Batch

_PREVIEW_PAIRS = 6


class GeneratorTraining:
    """A generator's `Training` (see `chimeramix.training.loop`).

    Args:
        views: of the images that it trains on.
        repeats: of the labelled images in an epoch.
        folder: of the run, for pictures.
        pictures_every: epochs between pictures; 0 draws them after the last epoch only.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        views: Views,
        repeats: int,
        streams: RunStreams,
        machine: Machine,
        folder: Path,
        pictures_every: int,
    ) -> None:
        self.generator = generator
        self.epochs = generator.epochs
        self.loader = EpochLoader(views, generator.batch_size, repeats, streams["order"])
        self._views = views
        self._images = images_of(generator.mask)
        self._partners: SameClassPartners | None = None
        if generator.needs_partners:
            self._partners = SameClassPartners(views, streams["partners"])
            self._partners.check(generator.include_self, self._images)
        self._rng = streams["mixing"]
        self._machine = machine
        self._folder = folder
        self._pictures_every = pictures_every
        generator.begin(views.subset, streams["codes"])
        generator.prepare(machine, self.epochs * len(self.loader))

    @property
    def learning_rate(self) -> float:
        return self.generator.learning_rate

    def step(self, batch: Batch) -> dict[str, Tensor]:
        partner = None
        if self._partners is not None:
            partner = self._partners(batch, self.generator.include_self, self._images - 1)
        return self.generator.step(batch, partner, self._rng)

    def advance(self, samples: int) -> None:
        self.generator.advance()

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        if epoch == self.epochs or (self._pictures_every and epoch % self._pictures_every == 0):
            self.generator.settle()
            self._draw(picture_path(self._folder, epoch), f"epoch {epoch} of {self.epochs}")
        return {}

    def _draw(self, path: Path, title: str) -> None:
        """Pictures the same pairs, or groups, and masks each time, drawn from a stream apart: pictures change no
        training."""
        rng = RandomStream(0, self._machine.device)
        labels = self._views.subset.labels
        order = torch.argsort(rng.uniform(len(labels)))
        # Different images where a class has enough: the first image of each of the first classes and the next.
        groups = []
        for label in labels[labels >= 0].unique()[:_PREVIEW_PAIRS].tolist():
            members = order[labels[order] == label]
            groups.append(members[torch.arange(self._images).clamp(max=len(members) - 1)])
        firsts, *partners = torch.stack(groups, 1)
        first, partner = (self._views.plain(index) for index in (firsts, torch.cat(partners)))
        columns = self.generator.preview(first, partner, rng)
        denormalize = self._views.normalize.inverse
        draw_columns({name: denormalize(images) for name, images in columns.items()}, path, title)

    def state_dict(self) -> dict[str, Any]:
        return self.generator.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state)
