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
    "Of a classifier's run: its metrics once more on the images that it was evaluated on, or on those of another data "
    "set or folder with the same classes. Writes evaluation-DATASET.json to the run's folder. Of a generator's run: "
    "composes images as a classifier's mixer would, from training images without augmentation, and compares them with "
    'real images that the generator has not seen: KID, FID, precision and recall (pip install "chimeramix[fidelity]"), '
    "distances to the nearest training image, and what the generator gives back where nothing is mixed. Writes "
    "evaluation.json and evaluation.png to the run's folder."
)

_OF_A_GENERATOR = ("count", "reference", "extractor", "weights", "no_fidelity", "seed")
_OF_A_CLASSIFIER = ("overrides", "config_dir", "folder", "per_class", "without_duplicates")
_READING = ("image_size", "mean", "std", "resize", "resize_to")
_MACHINE = ("machine.data_dir", "machine.mirror", "machine.workers")


@dataclass(frozen=True)
class Options:
    """Of an evaluation of a generator.

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
        given = {name: getattr(words, name) for name in _OF_A_GENERATOR if getattr(words, name) is not None}
        fidelity = not given.pop("no_fidelity", False)
        return cls(**given, fidelity=fidelity, images=words.images, device=words.device, form=words.format)

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


@dataclass(frozen=True)
class ClassifierOptions:
    """Of an evaluation of a classifier.

    Attributes:
        overrides: that choose another data set, as for training; none for the images that the run was evaluated on.
        config_dir: a folder with a data set's file of one's own (Hydra's `--config-dir`).
        folder: instead: images in one folder per class.
        per_class: whether figures of each class are shown.
        without_duplicates: whether images of CIFAR-10-C and CIFAR-100-C that ciFAIR replaced are left out.
        images: where the run's own data set is by now; None for where it was.
        device: as `machine.device`.
        form: one of `FORMATS`.
    """

    overrides: Sequence[str] = ()
    config_dir: str | None = None
    folder: Path | None = None
    per_class: bool = False
    without_duplicates: bool = False
    images: Path | None = None
    device: str = "auto"
    form: str = FORMATS[0]

    @classmethod
    def of(cls, words: argparse.Namespace) -> "ClassifierOptions":
        """What the command line says; see `add_to`."""
        given = {name: getattr(words, name) for name in _OF_A_CLASSIFIER if getattr(words, name) is not None}
        return cls(**given, images=words.images, device=words.device, form=words.format)

    def check(self) -> None:
        """Raises `UserError` for words without effect, and for options that exclude each other."""
        keys = {word: word.lstrip("+~").partition("=")[0] for word in self.overrides}
        for word, key in keys.items():
            group, _, rest = key.partition(".")
            if group == "dataset" and rest in _READING:
                raise UserError(f"{word}: has no effect: images are read as the run reads its own")
            if group != "dataset" and key not in (*_MACHINE, "hydra.searchpath"):
                raise UserError(
                    f"{word}: has no effect on an evaluation, which takes +dataset=NAME, dataset.KEY=VALUE and "
                    f"{', '.join(_MACHINE)}"
                )
        chosen = "dataset" in keys.values()
        if self.overrides and not chosen:
            raise UserError(
                f"{self.overrides[0]}: choose a data set as well, with +dataset=NAME; where the run's own is, says "
                "--images FOLDER"
            )
        if chosen and self.folder is not None:
            raise UserError(f"--folder {self.folder} and a data set: choose one of them")
        if self.images is not None and (chosen or self.folder is not None):
            raise UserError(
                f"--images {self.images}: says where the run's own data set is; where another one is, say dataset.root "
                "and machine.data_dir"
            )
        if self.config_dir is not None and not chosen:
            raise UserError(f"--config-dir {self.config_dir}: has no effect without +dataset=NAME")
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"--folder {self.folder}: no such folder")


def role_of(words: argparse.Namespace) -> str:
    """Of which kind of run a command line would be right, where the run does not tell."""
    return "classifier" if any(_given(words, name) for name in _OF_A_CLASSIFIER) else "generator"


def refuse_others(words: argparse.Namespace, role: str) -> None:
    """Raises `UserError` for what has no meaning for the run of a generator, or of a classifier."""
    other, options = ("generator", _OF_A_GENERATOR) if role == "classifier" else ("classifier", _OF_A_CLASSIFIER)
    for name in options:
        if _given(words, name):
            word = words.overrides[0] if name == "overrides" else f"--{name.replace('_', '-')}"
            raise UserError(f"{word}: is for the run of a {other}, and {words.run} is the run of a {role}")


def _given(words: argparse.Namespace, name: str) -> bool:
    return getattr(words, name) not in (None, [])


def add_to(parser: argparse.ArgumentParser) -> None:
    """The command's arguments. Those that belong to one kind of run are None where they are not given."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished classifier's or generator's folder")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the run's data set is, if not where the run read it"
    )
    parser.add_argument("--device", default=Options.device, help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument(
        "--format", choices=FORMATS, default=Options.form, help="csv: a line per figure (default: %(default)s)"
    )
    _add_classifier(parser.add_argument_group("for the run of a classifier"))
    _add_generator(parser.add_argument_group("for the run of a generator"))


def _add_classifier(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "overrides",
        nargs="*",
        metavar="+dataset=NAME",
        help="another data set with the same classes, whose test part is read; with dataset.root=DIR, "
        "machine.data_dir=DIR, ... as for training; corrupted/cifar10 and corrupted/cifar100: a table over corruptions",
    )
    group.add_argument("--config-dir", "-cd", metavar="DIR", help="a folder with a data set's file of your own")
    group.add_argument("--folder", type=Path, metavar="DIR", help="instead: images in one folder per class")
    group.add_argument("--per-class", action="store_true", default=None, help="accuracy and precision of each class")
    group.add_argument(
        "--without-duplicates",
        action="store_true",
        default=None,
        help="of corrupted/cifar10 and corrupted/cifar100: leave out the images that ciFAIR replaced, because training "
        "images are nearly the same (reads CIFAR and ciFAIR, too)",
    )


def _add_generator(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="compositions, and at most as many real images; FID wants more than the features have dimensions, which "
        f"are 2,048 of the default ones (default: {Options.count})",
    )
    group.add_argument(
        "--reference",
        nargs="+",
        metavar="FOLDER",
        help=f"real images to compare with; {UNSEEN}: those of the data set's training part that the generator has not "
        f"seen, the test part stays unread (default: {UNSEEN})",
    )
    group.add_argument(
        "--extractor",
        metavar="NAME",
        help=f"of features, as torch-fidelity names it, such as dinov2-vit-b-14 (default: {Options.extractor})",
    )
    group.add_argument("--weights", type=Path, metavar="FILE", help="the extractor's, where there is no network")
    group.add_argument(
        "--no-fidelity",
        action="store_true",
        default=None,
        help="leave out what needs an extractor: KID, FID, precision, recall",
    )
    group.add_argument("--seed", type=int, metavar="N", help="of all that is drawn (default: 0)")
