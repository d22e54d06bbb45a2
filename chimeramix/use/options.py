"""What the commands of this package are asked for; known to the command line, so nothing here imports torch."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chimeramix.errors import UserError

PREDICTION_FORMATS = ("terminal", "csv", "jsonl")


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
