"""Parts made from configuration files, on the embedded digits, as a run makes them."""

from typing import Any

import torch

from chimeramix.config.compose import CONFIG_DIR
from chimeramix.config.messages import options_of
from chimeramix.config.schema import Config
from chimeramix.data.segments import SubsetSegments
from chimeramix.data.subset import TrainingImages
from chimeramix.data.views import Normalize, Views
from chimeramix.runs import build
from chimeramix.streams import RandomStream, RunStreams
from chimeramix.types import Subset
from tests.composing import composed

CPU = torch.device("cpu")


def options(group: str) -> list[str]:
    return list(options_of(group, [CONFIG_DIR]))


def config_of(*words: str) -> Config:
    common = ["+dataset=demo/digits", "max_labels_per_class=3", "machine.workers=1"]
    return composed("classifier", [*common, *words]).config


def views_of(config: Config, seed: int, mask: Any = None) -> Views:
    source = build.source(config)
    data = TrainingImages.draw(source, config.max_labels_per_class, config.split_seed)
    segments = None
    if mask is not None and mask.segmentation is not None:
        segments = SubsetSegments(data.images, 32, mask.segmentation, source.mean, source.std)
    normalize = Normalize(source.mean, source.std, CPU)
    streams = RunStreams(seed, CPU)
    return Views(data.subset(32), build.part(config, "augment"), normalize, streams["augment"], segments)


def generator_of(config: Config, subset: Subset) -> Any:
    """Untrained, with codes where it has any."""
    generator = build.generator(config)
    generator.begin(subset, RandomStream(0))
    if hasattr(generator.network, "add"):  # a pool of stored images
        generator.network.make_room(20, subset.num_classes)
        generator.network.add(torch.rand(20, 3, 32, 32) * 2 - 1, torch.eye(subset.num_classes).repeat(2, 1))
    generator.network.requires_grad_(False).eval()
    return generator
