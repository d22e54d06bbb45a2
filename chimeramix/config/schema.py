"""The typed root of the configuration tree: which keys there are, their types and meaning.

Groups (dataset, model, mixer, ...) are `Any`: their schema is the constructor that their `_target_` names.

A run's identity (see `chimeramix.runs.spec`) is made of every key here but those that are marked as not part of it, so
a new key is part of it unless somebody decides otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


def key(
    default: Any = MISSING,
    *,
    identity: bool = True,
    stage: str | None = None,
    optional: bool = False,
    choices: Sequence[Any] = (),
    least: float | None = None,
    most: float | None = None,
    null: str = "",
) -> Any:
    """A key of the configuration.

    Args:
        default: of the schema; `base.yaml` and the dataset may set another one.
        identity: whether numbers may depend on it, so that other values make another run.
        stage: `classifier` for what a generator's training does not read: not part of its identity.
        optional: left out of the identity while it has its default, so that a key added later changes no identity.
        choices: the values that it may have.
        least, most: the smallest and the largest value that it may have.
        null: what null stands for, where a message should say so.
    """
    of_a_run = {"identity": identity, "stage": stage, "optional": optional}
    of_its_value = {"choices": choices, "least": least, "most": most, "null": null}
    return field(default=default, metadata=of_a_run | of_its_value)


@dataclass
class GeneratorRecipe:
    """The generator's part of a recipe."""

    epochs: int = MISSING
    batch_size: int = MISSING
    epoch_labels_per_class: int = MISSING
    image_size: int = MISSING


@dataclass
class Recipe:
    """Tuned values that come with a dataset; read by interpolation only. What nothing reads may stay unset."""

    epochs: int = MISSING
    batch_size: int = MISSING
    lr: float = MISSING
    weight_decay: float = MISSING
    epoch_labels_per_class: int = MISSING  # an epoch repeats the subset to about this many images per class
    flip: float = MISSING  # probability of a horizontal flip
    segment_scale: float = MISSING  # of Felzenszwalb's superpixels
    cutout_size: int = MISSING  # side of Cutout's square in pixels
    autoaugment: str = MISSING  # policy of AutoAugment: cifar10 or imagenet
    crop_scale: float = 0.08  # smallest share of the area in a random resized crop
    nesterov: bool = True  # in SGD's momentum
    median_of: int | None = None  # last epochs; see `EvaluationConfig`
    generator: GeneratorRecipe = field(default_factory=GeneratorRecipe)


@dataclass
class ValidationConfig:
    """Labelled images that are held out, to make choices by; the test set is then not read.

    At most one of `fold`, `extra` and `published`; without any, runs are evaluated on the test set.
    """

    fold: int | None = key(None, least=0)  # this one of `folds` parts of the drawn subset, stratified
    folds: int = key(5, least=2)
    seed: int = key(0, least=0)  # how images are dealt to folds, and which are extra
    # images per class from outside the drawn subset: more labels than a benchmark of few images allows
    extra: int | None = key(None, least=1)
    published: bool = False  # the split's own validation part (split=gem)

    @property
    def asked(self) -> bool:
        return self.fold is not None or self.extra is not None or self.published

    def describe(self) -> str | None:
        """What is held out, in words for a record; None for nothing."""
        if self.fold is not None:
            return f"fold {self.fold} of {self.folds} of the drawn subset"
        if self.extra is not None:
            return f"{self.extra} extra images per class, from outside the drawn subset"
        return "the validation part of the split" if self.published else None


@dataclass
class MachineConfig:
    """Where and how a run computes; never part of its identity."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: str = key("auto", choices=("auto", "fp32", "tf32", "bf16", "fp16"))
    # true: torch.compile; graphs: whole steps as CUDA graphs; full: both
    compile: Any = key(False, choices=(False, True, "graphs", "full"))
    data_dir: str = "data"  # downloaded data sets
    runs_dir: str = "runs"  # run folders
    # of an operation on the CPU; null: as many as the process or its Slurm job may use
    threads: int | None = key(None, least=1)
    workers: int = key(
        4, least=1, most=1024
    )  # threads that decode images, processes that compute superpixels of large subsets
    mirror: str | None = None  # address or folder in front of the archives' file names, instead of the official one


@dataclass
class MonitorConfig:
    """What a run shows and keeps; changes no number and is not part of its identity."""

    # epochs between evaluations on the test set or the held-out images; 0: after the last epoch only
    evaluate_every: int = key(10, least=0)
    pictures_every: int = key(20, least=0)  # epochs between a generator's pictures; 0: after the last epoch only
    checkpoint_seconds: float = key(120, least=0)  # seconds between checkpoints
    # saves and ends after this epoch; the same command with a later one, or without, goes on
    stop_after: int | None = key(None, least=1)
    keep_checkpoint: bool = True  # false: a finished run keeps its weights only


@dataclass
class EvaluationConfig:
    """How a classifier is evaluated; part of its identity where it is not the default."""

    # plain; flip: the image and its mirror image; flip_shift: both, and both shifted by S // 16 pixels along two
    # diagonals. Of several views the probabilities are averaged.
    views: str = key("plain", choices=("plain", "flip", "flip_shift"))
    # evaluates the last k epochs and records the median of their accuracies beside the result, which stays the last
    # epoch's; of fewer epochs all; null: not
    median_of: int | None = key(None, optional=True, least=1)


@dataclass
class SweepConfig:
    """How a sweep's runs are spread over jobs; changes no number and is not part of their identity."""

    # runs at the same time on one job's GPU or CPUs; null: 1, with the local launcher see there
    pack: int | None = key(None, least=1)


@dataclass
class WandbConfig:
    """Weights & Biases."""

    mode: str = key("disabled", choices=("disabled", "online", "offline"))
    project: str = "chimeramix"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Config:
    """The root of the tree; a key that is not here is refused."""

    dataset: Any = key()
    recipe: Recipe = field(default_factory=Recipe, metadata={"identity": False})  # what it sets is in the keys below
    method: str | None = key(None, identity=False)  # name in tables; null: the experiment's
    # chooses defaults of other keys, which are part of the identity; true: as in the published code
    published: bool = key(False, identity=False)
    max_labels_per_class: int | None = key(10, least=1, null="all samples")  # per class
    seed: int = key(0, least=0)  # weights, order, mixing
    split_seed: int = key(least=0)  # which samples are drawn
    split: Any = key(None, optional=True)  # a published one
    validation: ValidationConfig = field(
        default_factory=ValidationConfig, metadata={"identity": True, "optional": True}
    )
    epochs: int = key(stage="classifier", least=1)
    batch_size: int = key(stage="classifier", least=1)
    # an epoch repeats the subset to about this many images per class
    epoch_labels_per_class: int = key(stage="classifier", least=1)
    optimizer: Any = key(stage="classifier")
    schedule: Any = key(stage="classifier")
    model: Any = key(stage="classifier")
    augment: Any = key(stage="classifier")
    erase: Any = key(None, stage="classifier", optional=True)
    mixer: Any = key(stage="classifier")
    mask: Any = key(None, identity=False)  # mixer and generator hold what they read of it
    generator: Any = key(None)  # a classifier's identity holds its identity instead
    loss: Any = key(stage="classifier")
    procedure: Any = key(None, stage="classifier", optional=True)
    # radius of sharpness-aware minimisation (SAM), around any optimiser: two passes a step; null: plain steps
    sharpness: float | None = key(None, stage="classifier", optional=True, least=0)
    average: Any = key(None, stage="classifier", optional=True)  # of the weights, evaluated beside the plain ones
    evaluation: EvaluationConfig = field(
        default_factory=EvaluationConfig, metadata={"identity": True, "stage": "classifier", "optional": True}
    )
    machine: MachineConfig = field(default_factory=MachineConfig, metadata={"identity": False})
    monitor: MonitorConfig = field(default_factory=MonitorConfig, metadata={"identity": False})
    sweep: SweepConfig = field(default_factory=SweepConfig, metadata={"identity": False})
    wandb: WandbConfig = field(default_factory=WandbConfig, metadata={"identity": False})
    tuned: str | None = key(None, identity=False)  # what chose the settings, for the record; see `chimeramix tune`
    rerun: bool = key(False, identity=False)  # true: start over instead of reporting or resuming


GROUPS = ("dataset", "optimizer", "schedule", "model", "augment", "mixer", "loss")
"""The config groups of which one option must be chosen."""

ADDED_GROUPS = ("dataset", "track", "experiment")
"""Chosen with a plus, in this order: each may replace what those before it set."""

OPTIONAL_GROUPS = ("split", "erase", "mask", "generator", "procedure", "average")
"""Those that may be null."""

CLASSIFIER_RECIPE = ("epochs", "batch_size", "epoch_labels_per_class", "optimizer", "schedule")
"""The classifier's keys that have a namesake below `generator`."""
