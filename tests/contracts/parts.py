"""Parts made from configuration files, on the embedded digits, as a run makes them."""

from typing import Any

import torch

from chimeramix.config.compose import CONFIG_DIR, compose_settings
from chimeramix.config.messages import options_of
from chimeramix.data.views import Views
from chimeramix.runs import build
from chimeramix.streams import RandomStream, RunStreams
from chimeramix.types import Subset

CPU = torch.device("cpu")


def options(group: str) -> list[str]:
    return list(options_of(group, [CONFIG_DIR]))


def values_of(*words: str) -> dict[str, Any]:
    common = ["+dataset=demo/digits", "max_labels_per_class=3", "machine.workers=1"]
    return compose_settings("classifier", [*common, *words]).values


def views_of(values: dict[str, Any], seed: int, mask: Any = None) -> Views:
    source = build.source(values)
    data = build.training_images(source, values)
    views = build.views(build.subset(data, 32), build.part(values, "augment"), source, RunStreams(seed, CPU))
    if mask is not None and mask.segmentation is not None:
        views.attach_segments(build.segments_of(data.images, 32, mask, source.mean, source.std))
    return views


def generator_of(values: dict[str, Any], subset: Subset) -> Any:
    """Untrained, with codes where it has any."""
    generator = build.generator(values)
    generator.begin(subset, RandomStream(0))
    if hasattr(generator.network, "add"):  # a pool of stored images
        generator.network.make_room(20, subset.num_classes)
        generator.network.add(torch.rand(20, 3, 32, 32) * 2 - 1, torch.eye(subset.num_classes).repeat(2, 1))
    generator.network.requires_grad_(False).eval()
    return generator
