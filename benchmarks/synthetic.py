"""The product's own training steps on made-up images: no data set, no trained generator, no run folder is needed."""

from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.config.compose import compose_settings
from chimeramix.data.source import ImagesInMemory
from chimeramix.generators.latent import LatentNetwork
from chimeramix.generators.pool import ImagePool
from chimeramix.machine import Machine
from chimeramix.runs import assembly, build
from chimeramix.runs.assembly import Parts, Run
from chimeramix.runs.folder import RunFolder
from chimeramix.streams import RandomStream, RunStreams


class Noise:
    """A data set of random images (a `DataSource`).

    Args:
        classes, per_class: numbers of classes and of training images in each; as many test images as `test` says.
    """

    def __init__(self, classes: int = 10, per_class: int = 5, image_size: int = 32, test: int = 1000) -> None:
        self.image_size = image_size
        self.mean = self.std = (0.5, 0.5, 0.5)
        self._classes = [str(number) for number in range(classes)]
        self._train, self._test = (self._part(count, seed) for seed, count in enumerate((classes * per_class, test)))

    def _part(self, count: int, seed: int) -> ImagesInMemory:
        generator = torch.Generator().manual_seed(seed)
        shape = (count, 3, self.image_size, self.image_size)
        images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return ImagesInMemory(self._classes, torch.arange(count) % len(self._classes), images, self.image_size)

    def prepare(self) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {}

    def train(self) -> ImagesInMemory:
        return self._train

    def test(self) -> ImagesInMemory:
        return self._test


def parts_of(
    role: str,
    machine: Machine,
    folder: Path,
    *overrides: str,
    source: Noise | None = None,
    dataset: str = "cifair10",
) -> Parts:
    """What `train_<role>.py` would train with these overrides, on noise and with an untrained generator.

    Args:
        overrides: such as `+experiment=baseline`.
        folder: where pictures would go.
        dataset: whose recipe is followed.
    """
    settings = compose_settings(role, [f"+dataset={dataset}", "max_labels_per_class=null", *overrides])
    spec: dict[str, Any] = {"role": role}
    source = source or Noise()
    streams = RunStreams(settings.config.seed, machine.device)
    run = Run(settings, machine, source, RunFolder(folder, spec, "benchmark", {}), None, streams)
    if role == "generator":
        return assembly.generator_parts(run)

    def untrained(*arguments: object) -> torch.nn.Module:
        network: torch.nn.Module = build.generator(settings.config).network
        labels, classes = source.train().labels, len(source.train().classes)
        if isinstance(network, LatentNetwork):
            network.make_codes(labels, classes, "random", RandomStream(0))
        elif isinstance(network, ImagePool):
            network.make_room(len(labels), classes)
            network.add(torch.zeros(len(labels), 3, *[network.image_size] * 2), F.one_hot(labels, classes).float())
        return network.to(machine.device).eval().requires_grad_(False)

    with mock.patch.object(assembly, "trained_generator", untrained):
        return assembly.classifier_parts(run)


def with_segments(parts: Parts, machine: Machine) -> Parts:
    """Gives the views square superpixels, as small as the mask's may be, where it needs some."""
    segments = parts.views.segments
    if segments is not None:
        segments.labels = _tiles(parts.views.subset.images, segments.segmentation.min_size).to(machine.device)
    return parts


def _tiles(images: Tensor, pixels: int) -> Tensor:
    """`[N, S, S]` int16: squares of at least so many pixels."""
    count, _, _, side = images.shape
    tile = next(width for width in range(1, side + 1) if side % width == 0 and width * width >= pixels)
    place = torch.arange(side) // tile
    return (place[:, None] * (side // tile) + place).expand(count, side, side).to(torch.int16)
