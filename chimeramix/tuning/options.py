"""What `chimeramix tune` was asked for."""

from dataclasses import dataclass, field

from chimeramix.config.schema import Config
from chimeramix.errors import UserError
from chimeramix.terminal import counted

METRICS = ("accuracy", "top5", "macro_accuracy", "loss")
STOPS = ("none", "epochs", "folds")


@dataclass(frozen=True)
class Options:
    """The options of `chimeramix tune`.

    Attributes:
        trials: of the study in all, those of earlier calls included; whole generations are done.
        folds: into how many parts the drawn subset is cut; each part is held out once. None where the command's own
            words say what is held out (`validation.published`, `validation.extra`).
        repeats: how many times it is cut, each time otherwise.
        seeds: of each run.
        at_once: trials of a generation, which know nothing of each other.
        stop: how hopeless trials stop early; one of `STOPS`.
        metric: one of `METRICS`, of the held-out images.
        overrides: `KEY=VALUE` of the command that trains the winner.
    """

    trials: int = 20
    folds: int | None = 3
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
        if self.stop == "folds" and self.parts < 2:
            raise UserError("--stop folds: there is one held-out part only; take --repeats 3 or --stop epochs")

    def check_size(self, config: Config, class_sizes: list[int] | None) -> None:
        """Raises `UserError` where the smallest class has too few images to hold one out in each fold.

        Args:
            class_sizes: of the training part, where they are known.
        """
        known = [size for size in (config.max_labels_per_class, min(class_sizes or [0])) if size]
        if self.folds is None or not known or min(known) >= self.folds:
            return
        size = min(known)
        images = counted(size, "image")
        fewer = f"--folds {size} --repeats 2, or " if size > 1 else ""
        raise UserError(
            f"--folds {self.folds}: {images} of a class can't be cut into {self.folds} parts; take {fewer}tune at a "
            f"larger number, max_labels_per_class=20 --for max_labels_per_class={size}"
        )

    def held_out(self, words: list[str]) -> str:
        """In words, for tables and records."""
        if self.folds is None:
            given = [word for word in words if word.lstrip("+").startswith("validation.")]
            return " ".join(given)
        repeats = f", cut {self.repeats} times" if self.repeats > 1 else ""
        return f"{self.folds} folds of the drawn images{repeats}"

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
