"""Makes the parts of a run from its settings; the only place where a configuration's targets are instantiated."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from torch import Tensor, nn

from chimeramix.config_check import as_user_error
from chimeramix.data.resize import resize
from chimeramix.data.segments import segment
from chimeramix.data.subset import draw_subset
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.mixing.base import Mixer
from chimeramix.streams import RandomStream, RunStreams, derive_seed
from chimeramix.types import DataSource, LabelledImages, Mask, Subset


@dataclass(frozen=True)
class TrainingImages:
    """The images a run may learn from.

    Attributes:
        part: the whole training part of the data set.
        indices: positions in it of the drawn samples.
        images: `[N, 3, S, S]` uint8 on the CPU, in that order.
        labels: `[N]` int64.
    """

    part: LabelledImages
    indices: list[int]
    images: Tensor
    labels: Tensor

    @property
    def classes(self) -> tuple[str, ...]:
        return self.part.classes

    @property
    def smallest_class(self) -> int:
        return int(self.labels.bincount(minlength=len(self.classes)).min())

    def split(self, split_seed: int) -> dict[str, Any]:
        """The content of `split.json`."""
        return {
            "split_seed": split_seed,
            "indices": self.indices,
            "labels": self.labels.tolist(),
            "classes": list(self.classes),
        }


def source(values: dict[str, Any]) -> DataSource:
    machine = values["machine"]
    with as_user_error("dataset"):
        made: DataSource = _make(
            values["dataset"], data_dir=machine["data_dir"], mirror=machine["mirror"], workers=machine["workers"]
        )
    return made


def training_images(source: DataSource, values: dict[str, Any]) -> TrainingImages:
    """Draws the subset and reads its images, those and no others."""
    part = source.train()
    indices = draw_subset(part.labels, values["max_labels_per_class"], values["split_seed"], part.classes)
    return TrainingImages(part, indices, part.read(indices), part.labels[indices])


def subset(data: TrainingImages, size: int) -> Subset:
    """The images at the size that a stage trains at."""
    return Subset(resize(data.images, size), data.labels, len(data.classes))


def segments(
    data: TrainingImages, size: int, mask: Mask | None, source: DataSource, cache: Path, workers: int
) -> Tensor | None:
    """The superpixels `[N, size, size]` that a stage's mask needs, from the cache where they were computed before."""
    if mask is None or mask.segmentation is None:
        return None
    wanted = mask.segmentation
    labels = segment(
        resize(data.images, wanted.size or size),
        source.mean,
        source.std,
        scale=wanted.scale,
        sigma=wanted.sigma,
        min_size=wanted.min_size,
        cache_dir=cache,
        workers=workers,
    )
    if labels.shape[-1] == size:
        return labels
    return nn.functional.interpolate(labels[:, None].float(), size=(size, size), mode="nearest")[:, 0].to(labels.dtype)


def generator(values: dict[str, Any]) -> Any:
    """The generator with fresh weights from the run's seed."""
    with as_user_error("generator"), _seeded_weights(values["seed"]):
        return _make(values["generator"])


def model(values: dict[str, Any], num_classes: int) -> nn.Module:
    """The classifier with fresh weights from the run's seed."""
    with as_user_error("model"), _seeded_weights(values["seed"]):
        made: nn.Module = _make(values["model"], num_classes=num_classes)
    return made


def part(values: dict[str, Any], group: str) -> Any:
    """The augmentation, the loss, the schedule, ...: whatever needs nothing of the run."""
    with as_user_error(group):
        return _make(values[group])


def mixer_class(values: dict[str, Any]) -> type[Mixer]:
    return get_class(values["mixer"]["_target_"])


def mixer(
    values: dict[str, Any], views: Views, streams: RunStreams, num_classes: int, generator: nn.Module | None
) -> Mixer:
    needs = mixer_class(values)
    arguments: dict[str, Any] = {"num_classes": num_classes, "rng": streams["mixing"]}
    if needs.needs_generator:
        arguments["generator"] = generator
    if needs.needs_partners:
        arguments["partners"] = SameClassPartners(views, streams["partners"])
    with as_user_error("mixer"):
        made: Mixer = _make(values["mixer"], **arguments)
        made.check(views.subset.images.shape[-1])
    return made


def try_augment(augment: Callable[..., Any], subset: Subset, group: str) -> None:
    """Augments one image, so that what can't work (a padding as large as the image) is told before training starts."""
    with as_user_error(group):
        augment(subset.images[:1], None, RandomStream(0))


def views(subset: Subset, augment: Callable[..., Any], source: DataSource, streams: RunStreams) -> Views:
    normalize = Normalize(source.mean, source.std, subset.images.device)
    return Views(subset, augment, normalize, streams["augment"])


def _make(config: dict[str, Any], **given: Any) -> Any:
    """Instantiates a group with what the run adds; `_partial_: true` groups (optimisers) stay callables."""
    if config.get("_partial_"):
        return instantiate(config, _convert_="all")
    # Through a partial, so that Hydra never copies or converts what the run hands over (networks, streams).
    return instantiate({**config, "_partial_": True}, _convert_="all")(**given)


class _seeded_weights:
    """Draws initial weights from a stream of their own and leaves torch's global generator as it was."""

    def __init__(self, seed: int) -> None:
        self._seed = derive_seed(seed, "weights")

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: object) -> None:
        torch.set_rng_state(self._state)
