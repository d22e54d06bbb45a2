"""Makes the parts of a run from its settings; the only place where a configuration's targets are instantiated."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from torch import Tensor, nn

from chimeramix.config.checks import as_user_error
from chimeramix.data.resize import resize
from chimeramix.data.segments import segment
from chimeramix.data.subset import draw_subset
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.errors import UserError
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


def with_unlabelled(subset: Subset, generator: Any, data: TrainingImages, source: DataSource, seed: int) -> Subset:
    """The subset and, behind it, the images without labels that the generator asks for."""
    images = _unlabelled_images(generator, "generator", data, source, seed)
    if images is None:
        return subset
    images = resize(images, subset.images.shape[-1])
    labels = torch.full((len(images),), -1, dtype=subset.labels.dtype)
    return Subset(torch.cat([subset.images, images]), torch.cat([subset.labels, labels]), subset.num_classes)


def unlabelled(subset: Subset, procedure: Any, data: TrainingImages, source: DataSource, seed: int) -> Subset:
    """The images that a training procedure uses without their labels: others, or the subset's own."""
    images = _unlabelled_images(procedure, "procedure", data, source, seed)
    if images is None:
        return subset
    images = resize(images, subset.images.shape[-1])
    return Subset(images, torch.full((len(images),), -1, dtype=subset.labels.dtype), subset.num_classes)


def _unlabelled_images(asking: Any, group: str, data: TrainingImages, source: DataSource, seed: int) -> Tensor | None:
    """Some of the training part's other images (`unlabelled`), drawn with the seed of the split, and the test images
    (`transductive`); None for neither."""
    extra = []
    wanted = getattr(asking, "unlabelled", 0)
    if wanted:
        others = sorted(set(range(len(data.part.labels))) - set(data.indices))
        if wanted > len(others):
            raise UserError(
                f"{group}.unlabelled={wanted}: only {len(others)} training images are not in the labelled subset"
            )
        draw = torch.Generator().manual_seed(derive_seed(seed, "unlabelled"))
        chosen = torch.randperm(len(others), generator=draw)[:wanted].tolist()
        extra.append(data.part.read([others[position] for position in chosen]))
    if getattr(asking, "transductive", False):
        test = source.test()
        extra.append(test.read(range(len(test.labels))))
    return torch.cat(extra) if extra else None


def segments(
    data: TrainingImages, size: int, mask: Mask | None, source: DataSource, cache: Path, workers: int
) -> Tensor | None:
    """The superpixels `[N, size, size]` that a stage's mask needs, from the cache where they were computed before."""
    if mask is None or mask.segmentation is None:
        return None
    return segments_of(data.images, size, mask, source.mean, source.std, cache, workers)


def segments_of(
    images: Tensor,
    size: int,
    mask: Mask,
    mean: Sequence[float],
    std: Sequence[float],
    cache: Path | None = None,
    workers: int = 1,
) -> Tensor:
    """The superpixels `[N, size, size]` of images `[N, 3, S, S]` uint8 that a mask with a segmentation needs."""
    wanted = mask.segmentation
    labels = segment(
        resize(images, wanted.size or size),
        mean,
        std,
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


def loss(values: dict[str, Any], num_classes: int) -> nn.Module:
    """The classifier's loss; one with layers of its own draws their weights from the run's seed."""
    takes = inspect.signature(get_class(values["loss"]["_target_"])).parameters
    given = {"num_classes": num_classes} if "num_classes" in takes else {}
    with as_user_error("loss"), _seeded_weights(values["seed"]):
        made: nn.Module = _make(values["loss"], **given)
    return made


def needs_generator(values: dict[str, Any]) -> bool:
    """Whether the mixer, or one of a chain's, composes images with a trained generator."""
    return any(_class(config).needs_generator for config in _mixers(values["mixer"]))


def check_generator(values: dict[str, Any], network: nn.Module) -> None:
    """Raises `UserError` for a network, trained or not, that the mixer can't use."""
    with as_user_error("mixer"):
        for config in _mixers(values["mixer"]):
            if _class(config).needs_generator:
                _class(config).check_generator(network)


def mixer(
    values: dict[str, Any], views: Views, streams: RunStreams, num_classes: int, generator: nn.Module | None
) -> Mixer:
    def given(config: dict[str, Any]) -> dict[str, Any]:
        needs = _class(config)
        arguments: dict[str, Any] = {"num_classes": num_classes, "rng": streams["mixing"]}
        if needs.needs_generator:
            arguments["generator"] = generator
        if needs.needs_partners:
            arguments["partners"] = SameClassPartners(views, streams["partners"])
        if needs.needs_views:
            arguments["views"] = views
        return arguments

    with as_user_error("mixer"):
        if "mixers" in values["mixer"]:
            parts = {name: _make(config, **given(config)) for name, config in values["mixer"]["mixers"].items()}
            made: Mixer = _class(values["mixer"])(mixers=parts, **given(values["mixer"]))
        else:
            made = _make(values["mixer"], **given(values["mixer"]))
        made.check(views.subset.images.shape[-1])
    return made


def _mixers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The mixer's configuration, or those of a chain's mixers."""
    return list(config["mixers"].values()) if "mixers" in config else [config]


def _class(config: dict[str, Any]) -> Any:
    return get_class(config["_target_"])


def try_augment(augment: Callable[..., Any], subset: Subset, group: str) -> None:
    """Augments one image, so that what can't work (a padding as large as the image) is told before training starts."""
    with as_user_error(group):
        augment(subset.images[:1], None, RandomStream(0))


def views(
    subset: Subset,
    augment: Callable[..., Any],
    source: DataSource,
    streams: RunStreams,
    erase: Callable[..., Any] | None = None,
) -> Views:
    normalize = Normalize(source.mean, source.std, subset.images.device)
    return Views(subset, augment, normalize, streams["augment"], erase)


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
