"""`chimeramix embed`: what a classifier sees in its training images, in what its mixer makes of them, and in others.

ChimeraMix shows such a picture of Inception's features (Reinders et al. 2022, Figure 5); here the features are the
classifier's own.
"""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from chimeramix.config.schema import Config
from chimeramix.data.subset import TrainingImages
from chimeramix.data.views import Normalize
from chimeramix.errors import RunFailure, UserError
from chimeramix.evaluate.composing import Composer
from chimeramix.evaluate.images import NoneLeft, training_images, unseen_positions
from chimeramix.files import save_figure
from chimeramix.machine import Machine, memory_errors
from chimeramix.mixing import Identity
from chimeramix.runs import build
from chimeramix.runs.trained import generator_of, read_classifier, read_generator
from chimeramix.streams import RunStreams, derive_seed
from chimeramix.training.pictures import names_as_they_are

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

_BATCH = 256
_MOST_NAMED_CLASSES = 20


@dataclass(frozen=True)
class Points:
    """Images in the plane.

    Attributes:
        places: `[M, 2]` of compositions, of training images, and of images that the run has not seen, by name.
        labels: `[M]` of the unseen images.
        axes: what the two axes are.
    """

    places: dict[str, Tensor]
    labels: Tensor
    axes: tuple[str, str]


UNSEEN, COMPOSITIONS, TRAINING = "unseen images", "compositions", "training images"


def embed(
    folder: Path, method: str, count: int, others: int, seed: int, out: Path | None, images: Path | None, device: str
) -> None:
    """Draws the picture of a finished classifier's run.

    Args:
        method: `pca`, or `mde` (PyMDE, which must be installed).
        count: compositions; none where the run has no mixer.
        others: at most so many images of the training part that the run has not seen; the test part is not read.
        out: the picture's path without suffix; None for `embedding-METHOD` in the run's folder.
        images: where the run's data set is by now; None for where it was.

    Raises:
        UserError: for a folder that is no finished classifier's, for options that don't fit, and for a data set or a
            generator that is gone.
        RunFailure: where PyMDE is missing, or the picture can't be written.
    """
    for option, value, least in (("--count", count, 1), ("--others", others, 0), ("--seed", seed, 0)):
        if value < least:
            raise UserError(f"{option} {value}: must be at least {least}")
    stem = out.with_suffix("") if out is not None and out.suffix in (".png", ".svg") else out
    stem = stem or folder / f"embedding-{method}"
    if out is not None and not stem.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {stem.parent}")
    if method == "mde":
        check_pymde()
    record, config, classifier = read_classifier(folder)
    used = generator_of(folder, record)
    machine = Machine.choose(device, "fp32")
    machine.make_reproducible()
    data = training_images(config, folder, images)
    network = None if used is None else read_generator(used)[2].to(machine.device)
    streams = RunStreams(seed, machine.device)
    with memory_errors():
        # Of a chain of mixers the one that composes: what goes across classes has no place of its own.
        config = dataclasses.replace(config, mixer=build.mixer_within_classes(config) or config.mixer)
        composer = Composer(config, data, network, streams, machine.device)
        sets, labels = _sets(composer, config, data, count, others, derive_seed(seed, "reference"))
        normalize = Normalize(data.source.mean, data.source.std, machine.device)
        features = {
            name: features_of(classifier.to(machine.device), each, normalize, machine.device)
            for name, each in sets.items()
        }
    points = in_the_plane(features, labels, method, seed)
    title = ", ".join(
        map(str, (record.result["dataset"], record.result["method"] or "no name", record.result["model"]))
    )
    files = save_figure(draw(points, data.classes, title), stem)
    counts = ", ".join(f"{len(each)} {name}" for name, each in sets.items())
    print(f"{counts}: {' and '.join(str(file) for file in files)}")


def _sets(
    composer: Composer, config: Config, data: TrainingImages, count: int, others: int, seed: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Sets of images `[M, 3, S, S]` uint8 by name, and the labels of the unseen ones."""
    sets: dict[str, Tensor] = {}
    labels = torch.empty(0, dtype=torch.int64)
    try:
        chosen = unseen_positions(data, config, others, seed) if others else []
    except NoneLeft:
        log.info("the run has seen all training images of a class: no others are shown")
        chosen = []
    if chosen:
        sets[UNSEEN], labels = data.part.read(chosen), data.part.labels[chosen]
    if isinstance(composer.mixer, Identity):
        log.info("the run has no mixer: there are no compositions to show")
    else:
        sets[COMPOSITIONS] = composer.compose(count).images
    return {**sets, TRAINING: data.subset(data.source.image_size).images}, labels


@torch.no_grad()
def features_of(classifier: nn.Module, images: Tensor, normalize: Normalize, device: torch.device) -> Tensor:
    """What the last linear layer gets, `[M, d]` float32 on the CPU.

    Args:
        classifier: in evaluation mode, on the device.
        images: `[M, 3, S, S]` uint8.

    Raises:
        UserError: for a classifier without a linear layer.
    """
    linear = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"{type(classifier).__name__} has no linear layer, whose input would be the features")
    found: list[Tensor] = []
    handle = linear[-1].register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].float().flatten(1).cpu()))
    try:
        with parametrize.cached():  # the kernels of harmonic networks once
            for batch in images.split(_BATCH):
                classifier(normalize(batch.to(device)))
    finally:
        handle.remove()
    return torch.cat(found)


def in_the_plane(features: dict[str, Tensor], labels: Tensor, method: str, seed: int) -> Points:
    """Places of all sets of features in one plane: those of the largest variance (`pca`), or those that keep
    neighbours together (`mde`; Agrawal, Ali and Boyd 2021)."""
    together = torch.cat(list(features.values()))
    places, axes = _mde(together, seed) if method == "mde" else principal_components(together)
    split = places.split([len(each) for each in features.values()])
    return Points(dict(zip(features, split, strict=True)), labels, axes)


def principal_components(features: Tensor) -> tuple[Tensor, tuple[str, str]]:
    """The first two, `[M, 2]`, and their names with the share of the variance that each explains."""
    centred = (features - features.mean(0)).double()
    left, scales, _ = torch.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * scales[:2]
    places = nn.functional.pad(places, (0, 2 - places.shape[1]))
    # A component's sign means nothing; this one is the same everywhere.
    largest = places.gather(0, places.abs().argmax(0, keepdim=True))
    shares = [float(each) for each in scales.square() / scales.square().sum().clamp(min=1e-30)] + [0.0, 0.0]
    first, second = (f"component {number + 1} ({shares[number]:.0%} of the variance)" for number in (0, 1))
    return (places * torch.where(largest < 0, -1.0, 1.0)).float(), (first, second)


def check_pymde() -> None:
    """Raises `RunFailure` where PyMDE is not installed."""
    try:
        import pymde  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "pymde":
            raise
        raise RunFailure(
            'pymde is not installed: pip install "chimeramix[embed]", or take --method pca, which needs nothing more'
        ) from error


def _mde(features: Tensor, seed: int) -> tuple[Tensor, tuple[str, str]]:
    import pymde

    # A composition of an image with itself is that image: equal features have one place.
    different, which = features.unique(dim=0, return_inverse=True)
    pymde.seed(seed % 2**32)
    places: Tensor = pymde.preserve_neighbors(different, embedding_dim=2, device="cpu", verbose=False).embed()
    return places.detach().cpu().float()[which], ("minimum-distortion embedding", "")


@names_as_they_are()
def draw(points: Points, classes: Sequence[str], title: str) -> "Figure":
    """Unseen images as circles in the colour of their class, compositions as black dots, training images as red
    crosses: as in ChimeraMix's Figure 5."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 6), layout="constrained")
    axis = figure.subplots()
    colours = colormaps["tab20" if len(classes) <= _MOST_NAMED_CLASSES else "nipy_spectral"]
    if UNSEEN in points.places:
        for label in points.labels.unique().tolist():
            places = points.places[UNSEEN][points.labels == label]
            colour = colours(label if len(classes) <= _MOST_NAMED_CLASSES else label / (len(classes) - 1))
            name = classes[label] if len(classes) <= _MOST_NAMED_CLASSES else None
            _scatter(axis, places, color=colour, s=14, alpha=0.6, label=name, linewidths=0)
    if COMPOSITIONS in points.places:
        _scatter(axis, points.places[COMPOSITIONS], color="black", s=5, label=COMPOSITIONS, linewidths=0)
    _scatter(axis, points.places[TRAINING], color="red", marker="x", s=36, label=TRAINING)
    axis.set(xlabel=points.axes[0], ylabel=points.axes[1], xticks=[], yticks=[])
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.suptitle(f"{title}\nfeatures before the last layer; colours: {UNSEEN}", fontsize=9)
    return figure


def _scatter(axis: Any, places: Tensor, **style: Any) -> None:
    axis.scatter(places[:, 0].numpy(), places[:, 1].numpy(), **style)
