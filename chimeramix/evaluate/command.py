"""What `chimeramix evaluate RUN` does, for the run of a generator; that of a classifier is `evaluate/classifier.py`."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from chimeramix.config.schema import Config
from chimeramix.data.subset import TrainingImages
from chimeramix.evaluate import classifier, tables
from chimeramix.evaluate.composing import Composer, Compositions, with_composing_mixer
from chimeramix.evaluate.fidelity import Extractor, check_installed, fidelity
from chimeramix.evaluate.images import NoneLeft, images_in, training_images, unseen_images
from chimeramix.evaluate.memorisation import memorisation, pixels
from chimeramix.evaluate.options import UNSEEN, ClassifierOptions, Options, refuse_others, role_of
from chimeramix.evaluate.picture import draw
from chimeramix.evaluate.reconstruction import compare, reconstructed
from chimeramix.evaluate.tables import Section
from chimeramix.files import write_json
from chimeramix.machine import Machine, memory_errors
from chimeramix.runs.folder import environment
from chimeramix.runs.record import read_record
from chimeramix.runs.trained import read_generator
from chimeramix.streams import RunStreams, derive_seed
from chimeramix.terminal import Table

log = logging.getLogger(__name__)

RECORD = "evaluation.json"
PICTURE = "evaluation.png"

COMPOSITIONS = "compositions"
TRAINING = "training images"
AUGMENTED = "training images, augmented"
REAL = "real images"


@dataclass(frozen=True)
class _Images:
    """uint8 on the CPU: what is compared with what.

    Attributes:
        real: that the generator has not seen; None where there are none.
    """

    compositions: Compositions
    training: Tensor
    augmented: Tensor
    real: Tensor | None


def run(words: argparse.Namespace) -> None:
    """What the command line asks for, of the run of a classifier or of a generator: its record says which it is. Raises
    `UserError` for options of the other kind."""
    record = read_record(words.run)
    role = role_of(words) if record is None else record.result["role"]
    refuse_others(words, role)
    if role == "classifier":
        classifier.evaluate(words.run, ClassifierOptions.of(words))
    else:
        evaluate(words.run, Options.of(words))


def evaluate(folder: Path, options: Options) -> None:
    """Prints what a generator's images are worth, and writes `evaluation.json` and `evaluation.png` to its folder. The
    run's own record stays as it is.

    Raises:
        UserError: for a folder that is no finished generator's, and for options that don't fit.
        RunFailure: for what this machine lacks, and for a file that can't be written.
    """
    options.check()
    version = check_installed() if options.fidelity else None
    record, config, network = read_generator(folder)
    machine = Machine.choose(options.device, "fp32")
    machine.make_reproducible()
    # First of all that takes long, because the weights may be missing.
    extractor = Extractor(options.extractor, options.weights, machine.device) if options.fidelity else None
    data = training_images(config, folder, options.images)
    streams = RunStreams(options.seed, machine.device)
    with memory_errors():
        network = network.to(machine.device)
        config = with_composing_mixer(config, network)
        composer = Composer(config, data, network, streams, machine.device)
        log.info("%s: %d compositions of %d training images", folder, options.count, len(data.labels))
        images = _images(composer, data, config, options)
        sections, titled, distances, positions = _figures(composer, images, data, extractor, streams, options)
    figures = {section: {name: tables.record(row) for name, row in rows.items()} for section, rows in sections.items()}
    tables.show(figures, titled, options.form)
    values = {
        "identity": record.result["identity"],
        "dataset": record.result["dataset"],
        "method": record.result["method"],
        "options": {
            "count": options.count,
            "seed": options.seed,
            "reference": [str(each) for each in options.reference],
            "extractor": extractor and extractor.name,
            "weights": options.weights and str(options.weights),
        },
        "reference_images": 0 if images.real is None else len(images.real),
        "mixer": f"{type(composer.mixer).__module__}.{type(composer.mixer).__qualname__}",
        **figures,
        "torch_fidelity": version,
        "machine": machine.record(),
        "environment": environment(),
    }
    title = f"{record.result['dataset']}, {record.result['method'] or 'generator'}"
    draw(images.compositions, images.training, distances, positions, folder / PICTURE, title)
    write_json(folder / RECORD, values)
    log.info("written: %s and %s", folder / RECORD, folder / PICTURE)


def _images(composer: Composer, data: TrainingImages, config: Config, options: Options) -> _Images:
    seed = derive_seed(options.seed, "reference")
    size = data.source.image_size
    real: Tensor | None = None
    if list(options.reference) != [UNSEEN]:
        real = images_in([Path(each) for each in options.reference], data.source, options.count, seed)
    else:
        try:
            real = unseen_images(data, config, options.count, seed)
        except NoneLeft:
            if options.fidelity:
                raise
    compositions = composer.compose(options.count)
    return _Images(compositions, data.subset(size).images, composer.augmented(options.count), real)


def _figures(
    composer: Composer,
    images: _Images,
    data: TrainingImages,
    extractor: Extractor | None,
    streams: RunStreams,
    options: Options,
) -> tuple[dict[str, Section], list[Table], dict[str, Tensor], Tensor]:
    """All figures by section, their tables, the distances in pixels, and which training image is nearest to each
    composition."""
    sections: dict[str, Section] = {}
    titled: list[Table] = []
    compared = {COMPOSITIONS: images.compositions.images} | ({} if images.real is None else {REAL: images.real})
    sources = images.compositions.sources
    features: dict[str, dict[str, Tensor]] = {}
    if extractor is not None:
        assert images.real is not None
        sets = {**compared, TRAINING: images.training, AUGMENTED: images.augmented}
        features = {name: extractor(each) for name, each in sets.items()}
        real, seed = features[REAL], derive_seed(options.seed, "kid")
        rows = {name: fidelity(features[name], real, seed) for name in (COMPOSITIONS, TRAINING, AUGMENTED)}
        sections["fidelity"] = dict(rows)
        title = f"Against {len(images.real):,} {_reference(options)}, features of {extractor.name}"
        titled.append(tables.fidelity_table(rows, title, len(images.real)))
    points = {name: pixels(each) for name, each in compared.items()}
    summary, distances, positions = memorisation(points, pixels(images.training), data.labels, sources)
    sections["distances"] = dict(summary)
    unit = "root mean square of the differences of pixels, in [0, 1]"
    titled.append(tables.distance_table(summary, "Distance to the nearest training image, in pixels", unit))
    if extractor is not None:
        points = {name: features[name]["kid"] for name in compared}
        in_features, _, _ = memorisation(points, features[TRAINING]["kid"], data.labels, sources)
        sections["distances_in_features"] = dict(in_features)
        title = f"Distance to the nearest training image, in features of {extractor.name}"
        titled.append(tables.distance_table(in_features, title, "Euclidean distances of features"))
    pairs = {}
    for name, each in {TRAINING: images.training, REAL: images.real}.items():
        made = None if each is None else reconstructed(composer, each, name == TRAINING, streams["reconstruction"])
        if each is not None and made is not None:
            pairs[name] = compare(each, made)
    if pairs:
        sections["reconstruction"] = dict(pairs)
        titled.append(tables.reconstruction_table(pairs, "Reconstruction, nothing mixed"))
    return sections, titled, distances, positions


def _reference(options: Options) -> str:
    if list(options.reference) == [UNSEEN]:
        return "training images that the generator has not seen"
    return f"images of {', '.join(options.reference)}"
