"""What the commands of this package are asked for; known to the command line, so nothing here imports torch."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chimeramix.errors import UserError

PREDICTION_FORMATS = ("terminal", "csv", "jsonl")
EXPORTS = {"pt2": "classifier.pt2", "onnx": "classifier.onnx", "hub": "hub"}
"""What an export is called in its run's folder, by format."""


@dataclass(frozen=True)
class PredictOptions:
    """Of `chimeramix predict`.

    Attributes:
        paths: folders of runs, then images, folders and patterns.
        top: classes that are named of each image, the most probable first.
        form: one of `PREDICTION_FORMATS`.
        out: file to write; None for the terminal.
        device: as `machine.device`.
        workers: threads that decode images.
    """

    paths: Sequence[str]
    top: int = 1
    form: str = PREDICTION_FORMATS[0]
    out: Path | None = None
    device: str = "auto"
    workers: int = 4

    @classmethod
    def of(cls, words: argparse.Namespace) -> "PredictOptions":
        """What the command line says; see `add_predict`."""
        return cls(words.paths, words.top, words.format, words.out, words.device, words.workers)

    def check(self) -> None:
        """Raises `UserError` for values out of range."""
        if self.top < 1:
            raise UserError(f"--top {self.top}: must be at least 1")
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: must be at least 1")
        if self.out is not None and self.out.is_dir():
            raise UserError(f"--out {self.out}: is a folder; name a file")
        if self.out is not None and not self.out.parent.is_dir():
            raise UserError(f"--out {self.out}: there is no folder {self.out.parent}")


def add_predict(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chimeramix predict`."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="RUN [RUN ...] PATH",
        help="folders of finished classifiers (or exported ones), of which several form an ensemble; then images, "
        "folders of images, with all that lies below them, and patterns such as 'photos/*.jpg'",
    )
    parser.add_argument("--top", type=int, default=PredictOptions.top, metavar="K", help="classes named (default: 1)")
    parser.add_argument(
        "--format", choices=PREDICTION_FORMATS, default=PredictOptions.form, help="(default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to the terminal")
    parser.add_argument("--device", default=PredictOptions.device, help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument(
        "--workers", type=int, default=PredictOptions.workers, metavar="N", help="threads for decoding (default: 4)"
    )


SYNTHESISE = (
    "Writes images that a trained generator composes to DIR/CLASS/00000.png and so on, a folder that any framework "
    "reads. DIR.jsonl says in a line for each of what and how it was composed, DIR.png shows some of them with their "
    "sources. The same seed gives the same files, and a larger N the same images and more."
)


@dataclass(frozen=True)
class SynthesiseOptions:
    """Of `chimeramix synthesise`.

    Attributes:
        per_class: N, images of each class.
        out: the folder to write; the two files beside it have its name.
        seed: of all that is drawn.
        augment: whether the run's `augment` changes the sources first.
        images: where the run's data set is by now; None for where it was.
        device: as `machine.device`.
    """

    per_class: int
    out: Path
    seed: int = 0
    augment: bool = False
    images: Path | None = None
    device: str = "auto"

    @classmethod
    def of(cls, words: argparse.Namespace) -> "SynthesiseOptions":
        """What the command line says; see `add_synthesise`."""
        return cls(words.per_class, words.out, words.seed, words.augment, words.images, words.device)

    @property
    def record(self) -> Path:
        """The JSON lines."""
        return self.out.with_name(f"{self.out.name}.jsonl")

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.out.with_name(f"{self.out.name}.png")

    def check(self) -> None:
        """Raises `UserError` for values out of range, and for files and folders that are there already."""
        if self.per_class < 1:
            raise UserError(f"--per-class {self.per_class}: must be at least 1")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must not be negative")
        if self.out.name in ("", ".."):
            raise UserError(f"--out {self.out}: must end with the name of a folder that is not there yet")
        for path in (self.out, self.record, self.sheet):
            if path.exists() or path.is_symlink():
                raise UserError(f"--out {self.out}: {path} is there already; choose another name, or remove it")


def add_synthesise(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="GENERATOR_RUN", help="a finished generator's folder")
    parser.add_argument("--per-class", type=int, required=True, metavar="N", help="images of each class")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is not there yet")
    parser.add_argument(
        "--seed",
        type=int,
        default=SynthesiseOptions.seed,
        metavar="N",
        help="of all that is drawn (default: %(default)s)",
    )
    parser.add_argument(
        "--augment", action="store_true", help="change the sources first as the run's augment changes training images"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the data set is, if not where the run read it"
    )
    parser.add_argument(
        "--device", default=SynthesiseOptions.device, help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)"
    )


@dataclass(frozen=True)
class ExportOptions:
    """Of `chimeramix export`.

    Attributes:
        run: the folder of a finished classifier, or an exported one.
        form: one of `EXPORTS`.
        out: file or folder to write; None for the one that `EXPORTS` names, in the run's folder.
        size: height and width of the images that a program takes; None for any.
        overwrite: whether what is there may be replaced.
    """

    run: Path
    form: str
    out: Path | None = None
    size: tuple[int, int] | None = None
    overwrite: bool = False

    @classmethod
    def of(cls, words: argparse.Namespace) -> "ExportOptions":
        """What the command line says; see `add_export`."""
        return cls(words.run, words.format, words.out, words.size and tuple(words.size), words.overwrite)

    @property
    def target(self) -> Path:
        """What is written."""
        return self.out or self.run / EXPORTS[self.form]

    def check(self) -> None:
        """Raises `UserError` for values that don't fit, and for an output that is there already."""
        if self.size is not None and self.form == "hub":
            raise UserError("--size is for programs (pt2, onnx): those who load a hub folder have their images resized")
        if self.size is not None and min(self.size) < 1:
            raise UserError(f"--size {self.size[0]} {self.size[1]}: must be at least 1")
        if self.out is not None and not self.out.parent.is_dir():
            raise UserError(f"--out {self.out}: there is no folder {self.out.parent}")
        suffix = Path(EXPORTS[self.form]).suffix
        if suffix and self.target.suffix != suffix:
            raise UserError(f"--out {self.out}: the name must end in {suffix}")
        if self.target.exists() and not self.overwrite:
            raise UserError(f"{self.target} is there already: --overwrite replaces it, --out writes elsewhere")
        if self.target.exists() and self.target.is_dir() != (self.form == "hub"):
            raise UserError(f"{self.target} is no export in this format: choose another --out")


def add_export(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chimeramix export`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a finished classifier (or of an exported one)"
    )
    parser.add_argument(
        "--format",
        choices=EXPORTS,
        required=True,
        help="pt2: a program for PyTorch without this package; onnx: one for ONNX runtimes (pip install "
        '"chimeramix[onnx]"); hub: a folder with weights, configuration and model card for the Hugging Face Hub',
    )
    names = ", ".join(EXPORTS.values())
    parser.add_argument("--out", type=Path, metavar="PATH", help=f"what to write (default: {names} in RUN)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="height and width of the images that the program takes (default: any)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
