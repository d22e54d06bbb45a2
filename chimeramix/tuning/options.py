"""What `chimeramix tune` is asked for; known to the command line, so nothing here imports torch."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chimeramix.errors import UserError
from chimeramix.terminal import counted

if TYPE_CHECKING:
    from chimeramix.config.schema import Config

METRICS = ("accuracy", "top5", "macro_accuracy", "loss")
STOPS = ("none", "epochs", "folds")


@dataclass(frozen=True)
class Options:
    """The options of `chimeramix tune`.

    Attributes:
        trials: of the study in all, those of earlier calls included; whole generations are done.
        folds: into how many parts the drawn subset is cut; each part is held out once. None for 3, or for what the
            command's own words hold out.
        held_out: those words, `validation.published=true` or `validation.extra=N`.
        repeats: how many times it is cut, each time otherwise.
        seeds: of each run.
        at_once: trials of a generation, which know nothing of each other.
        stop: how hopeless trials stop early; one of `STOPS`.
        metric: one of `METRICS`, of the held-out images.
        overrides: `KEY=VALUE` of the command that trains the winner.
    """

    trials: int = 20
    folds: int | None = None
    held_out: str = ""
    repeats: int = 1
    seeds: int = 1
    at_once: int = 4
    stop: str = "none"
    metric: str = "accuracy"
    overrides: list[str] = field(default_factory=list)

    @property
    def maximise(self) -> bool:
        return self.metric != "loss"

    @property
    def parts(self) -> int:
        """Held-out parts of a trial."""
        return (self.folds or 1) * self.repeats

    @property
    def generations(self) -> int:
        return -(-self.trials // self.at_once)

    def check(self) -> None:
        """Raises `UserError` for what makes no sense, whatever is searched."""
        least = {"--trials": self.trials, "--repeats": self.repeats, "--seeds": self.seeds, "--at-once": self.at_once}
        for name, value in least.items():
            if value < 1:
                raise UserError(f"{name} {value}: must be at least 1")
        if self.folds is not None and self.folds < 2:
            raise UserError(f"--folds {self.folds}: must be at least 2, one to hold out and one to train on")
        if self.held_out and self.stop == "folds" and self.parts < 2:
            raise UserError("--stop folds: there is one held-out part only; take --repeats 3 or --stop epochs")

    def check_size(self, config: "Config", class_sizes: Sequence[int] | None) -> None:
        """Raises `UserError` where the smallest class has too few images to hold one out in each fold.

        Args:
            class_sizes: of the training part, where they count and are known.
        """
        size = config.max_labels_per_class or min(class_sizes or [0])
        if self.folds is None or not size or size >= self.folds:
            return
        images = counted(size, "image")
        fewer = f"--folds {size} --repeats 2, or " if size > 1 else ""
        raise UserError(
            f"--folds {self.folds}: {images} of a class can't be cut into {self.folds} parts; take {fewer}tune at a "
            f"larger number, max_labels_per_class=20 --for max_labels_per_class={size}"
        )

    def describe_parts(self) -> str:
        """What is held out, for tables and records."""
        if self.held_out:
            drawn = f", drawn {self.repeats} times" if self.repeats > 1 else ""
            return f"{self.held_out}{drawn}"
        repeats = f", cut {self.repeats} times" if self.repeats > 1 else ""
        return f"{self.folds} folds of the drawn images{repeats}"

    def typed(self) -> list[str]:
        """As in the command that repeats the study."""
        folds = {} if self.folds is None else {"--folds": self.folds}
        given: dict[str, object] = {"--trials": self.trials, **folds, "--repeats": self.repeats, "--seeds": self.seeds}
        given |= {"--at-once": self.at_once, "--stop": self.stop, "--metric": self.metric}
        usual: dict[str, object] = {"--repeats": 1, "--seeds": 1, "--stop": "none", "--metric": "accuracy"}
        words = [[name, str(value)] for name, value in given.items() if usual.get(name) != value]
        return [word for pair in [*words, *(["--for", each] for each in self.overrides)] for word in pair]

    def held_out_words(self) -> list[list[str]]:
        """The overrides that hold out each part; the folds of a cut stand together."""
        if self.folds is None:
            return [[f"validation.seed={repeat}"] for repeat in range(self.repeats)] if self.repeats > 1 else [[]]
        return [
            [f"validation.fold={fold}", f"validation.folds={self.folds}", f"validation.seed={repeat}"]
            for repeat in range(self.repeats)
            for fold in range(self.folds)
        ]

    def identifying(self) -> dict[str, object]:
        """What makes another study of the same settings and space. More trials go on with the same one."""
        return {
            "folds": self.folds,
            "repeats": self.repeats,
            "seeds": self.seeds,
            "at_once": self.at_once,
            "stop": self.stop,
            "metric": self.metric,
        }


def add_to(parser: argparse.ArgumentParser, trains: str) -> None:
    """The command's arguments; `trains` is the name of the command that trains a classifier."""
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="in all; default: %(default)s")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="hold out each of K parts of the drawn images once; default: 3"
    )
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="cut into folds N times, each time otherwise"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="train each N times, from the command's seed on"
    )
    parser.add_argument(
        "--at-once",
        type=int,
        default=4,
        metavar="N",
        help="trials of a generation, which know nothing of each other; how many runs go at once is the launcher's "
        "(hydra/launcher=local sweep.pack=N); default: %(default)s",
    )
    parser.add_argument(
        "--stop", choices=STOPS, default="none", help="stop hopeless trials after some of the epochs, or of the folds"
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="accuracy", help="of the held-out images; default: %(default)s"
    )
    parser.add_argument(
        "--for",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the command that trains the winner, such as max_labels_per_class=5 where the search needs more images",
    )
    parser.add_argument("words", metavar="command", nargs=argparse.REMAINDER, help=f"{trains} and its words")
