"""`chimeramix synthesise`: what a trained generator composes, as a folder of images that any framework reads."""

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from chimeramix.data.subset import TrainingImages
from chimeramix.errors import UserError
from chimeramix.evaluate.composing import Composer, with_composing_mixer
from chimeramix.evaluate.images import training_images
from chimeramix.files import json_text, write_failure
from chimeramix.machine import Machine, memory_errors
from chimeramix.mixing import ChimeraMix, SuperMix
from chimeramix.runs.trained import read_generator
from chimeramix.streams import RandomStream, RunStreams, derive_seed
from chimeramix.terminal import counted
from chimeramix.use.options import SynthesiseOptions
from chimeramix.use.sheet import draw_sheet, examples, shown_classes
from chimeramix.use.synthesised import Synthesised, composed, stored

_LONGEST_NAME = 255  # bytes, on usual file systems


def synthesise(folder: Path, options: SynthesiseOptions) -> None:
    """Writes an image folder, its JSON lines and its contact sheet, all or none.

    Args:
        folder: a finished generator's.

    Raises:
        UserError: for a folder that is no finished generator's, for options that don't fit, and for class names that
            can't be folders'.
        RunFailure: for too little memory, and where the files can't be written.
    """
    options.check()
    record, config, network = read_generator(folder)
    machine = Machine.choose(options.device, "fp32")
    machine.make_reproducible()
    data = training_images(config, folder, options.images)
    check_names(data.classes)
    streams, rng = RunStreams(options.seed, machine.device), RandomStream(derive_seed(options.seed, "first"))
    result = record.result
    title = f"{result['dataset']}, {result['method'] or 'generator'}, seed {options.seed}"
    constant = {"augmented": options.augment, "seed": options.seed, "generator": result["identity"]}
    with memory_errors():
        config = with_composing_mixer(config, network)
        composer = Composer(config, data, network.to(machine.device), streams, machine.device, options.augment)
        mixer = composer.mixer
        if options.augment and not isinstance(mixer, ChimeraMix):
            raise UserError(f"--augment: {folder} keeps what it makes images of, and takes none; leave it out")
        images = (
            stored(mixer.generator, data.classes, options.per_class, rng)  # type: ignore[arg-type]
            if isinstance(mixer, SuperMix)
            else composed(composer, data, options.per_class, rng)
        )
        _write(images, data, options, constant, title)
    number = options.per_class * len(data.classes)
    print(
        f"{counted(number, 'image')}, {options.per_class} of each of {len(data.classes)} classes: "
        f"{options.out}, {options.record} and {options.sheet}"
    )


def check_names(classes: Sequence[str]) -> None:
    """Raises `UserError` for a class whose name can't be that of a folder, or of one that readers would skip."""
    for name in classes:
        unfit = not name or name.startswith(".") or any(sign in name for sign in "/\\\0")
        if unfit or len(name.encode(errors="surrogateescape")) > _LONGEST_NAME:
            raise UserError(f"class {name!r} can't be a folder's name: name it otherwise in the data set")


def _write(
    images: Iterable[Synthesised],
    data: TrainingImages,
    options: SynthesiseOptions,
    constant: dict[str, Any],
    title: str,
) -> None:
    """All files, into a temporary folder, and from there to their places."""
    total = options.per_class * len(data.classes)
    bar = tqdm(images, "images", total, unit="image", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    name_of: Callable[[int], str] | None = getattr(data.part, "name_of", None)
    shown = {data.classes[label] for label in shown_classes(len(data.classes))}
    rows: dict[str, list[Synthesised]] = defaultdict(list)
    written: dict[str, int] = defaultdict(int)
    with _moved_when_whole(options) as place:
        for name in data.classes:
            (place / "images" / name).mkdir(parents=True)
        with (place / "record").open("w", encoding="utf-8") as lines:
            for image in bar:
                name = data.classes[image.label]
                file = f"{name}/{written[name]:05d}.png"
                written[name] += 1
                Image.fromarray(image.image.permute(1, 2, 0).numpy()).save(place / "images" / file)
                sources = [data.indices[source] for source in image.sources]
                said = {"file": file, "class": name, "label": image.label, "sources": sources}
                if name_of is not None:
                    said["source_files"] = [name_of(source) for source in sources]
                lines.write(json_text({**said, **image.account, **constant}) + "\n")
                if name in shown and len(rows[name]) < examples(image):
                    rows[name].append(image)
        draw_sheet(dict(rows), data.subset(data.source.image_size).images, place / "sheet", title)


@contextmanager
def _moved_when_whole(options: SynthesiseOptions) -> Iterator[Path]:
    """A folder beside the one that is asked for, in which `images`, `record` and `sheet` are to be made. They are moved
    to their places at the end, the images last; after an error nothing is left."""
    moved: list[Path] = []
    place: Path | None = None
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(".tmp", f".{options.out.name}.", options.out.parent))
        yield place
        for name, path in (("sheet", options.sheet), ("record", options.record), ("images", options.out)):
            os.rename(place / name, path)
            moved.append(path)
    except OSError as error:
        for path in moved:
            path.unlink(missing_ok=True)
        raise write_failure(options.out, error) from error
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
