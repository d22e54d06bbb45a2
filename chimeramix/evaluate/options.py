"""What `chimeramix evaluate` is asked for; known to the command line, so nothing here imports torch."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chimeramix.errors import UserError

FORMATS = ("terminal", "markdown", "csv")
EXTRACTOR = "inception-v3-compat"
UNSEEN = "train"
"""As a reference: the images of the training part that the generator has not seen."""

DESCRIPTION = (
    "Composes images as a classifier's mixer would, from training images without augmentation, and compares them with "
    'real images that the generator has not seen: KID, FID, precision and recall (pip install "chimeramix[fidelity]"), '
    "distances to the nearest training image, and what the generator gives back where nothing is mixed. Writes "
    "evaluation.json and evaluation.png to the run's folder."
)


@dataclass(frozen=True)
class Options:
    """Of an evaluation.

    Attributes:
        count: compositions, and at most so many real images to compare them with.
        seed: of all that is drawn.
        reference: `UNSEEN`, or folders of images.
        fidelity: whether KID, FID, precision and recall are computed.
        extractor: of features, as torch-fidelity names it.
        weights: a file with the extractor's.
        images: where the run's data set is by now; None for where it was.
        device: as `machine.device`.
        form: one of `FORMATS`.
    """

    count: int = 1000
    seed: int = 0
    reference: Sequence[str] = (UNSEEN,)
    fidelity: bool = True
    extractor: str = EXTRACTOR
    weights: Path | None = None
    images: Path | None = None
    device: str = "auto"
    form: str = FORMATS[0]

    @classmethod
    def of(cls, words: argparse.Namespace) -> "Options":
        """What the command line says; see `add_to`."""
        return cls(
            count=words.count,
            seed=words.seed,
            reference=words.reference,
            fidelity=not words.no_fidelity,
            extractor=words.extractor,
            weights=words.weights,
            images=words.images,
            device=words.device,
            form=words.format,
        )

    def check(self) -> None:
        """Raises `UserError` for values out of range, and for options that exclude each other."""
        if self.count < 1:
            raise UserError(f"--count {self.count}: must be at least 1")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must not be negative")
        if UNSEEN in self.reference and len(self.reference) > 1:
            raise UserError(f"--reference: {UNSEEN} stands alone, or there are folders; ./{UNSEEN} is a folder")
        if not self.fidelity and self.weights is not None:
            raise UserError("--weights has no effect with --no-fidelity: leave out one of them")


def add_to(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished generator's folder")
    parser.add_argument(
        "--count",
        type=int,
        default=Options.count,
        metavar="N",
        help="compositions, and at most as many real images; FID wants more than the features have dimensions, which "
        "are 2,048 of the default ones (default: %(default)s)",
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        default=list(Options.reference),
        metavar="FOLDER",
        help=f"real images to compare with; {UNSEEN}: those of the data set's training part that the generator has not "
        f"seen, the test part stays unread (default: {UNSEEN})",
    )
    parser.add_argument(
        "--extractor",
        default=Options.extractor,
        metavar="NAME",
        help="of features, as torch-fidelity names it, such as dinov2-vit-b-14 (default: %(default)s)",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the extractor's, where there is no network")
    parser.add_argument(
        "--no-fidelity", action="store_true", help="leave out what needs an extractor: KID, FID, precision, recall"
    )
    parser.add_argument("--seed", type=int, default=Options.seed, metavar="N", help="of all that is drawn (default: 0)")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the data set is, if not where the run read it"
    )
    parser.add_argument("--device", default=Options.device, help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument(
        "--format", choices=FORMATS, default=Options.form, help="csv: a line per figure (default: %(default)s)"
    )
