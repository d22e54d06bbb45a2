"""The typed root of the configuration tree: which keys there are, their types and meaning.

Groups (dataset, model, mixer, ...) are `Any`: their schema is the constructor that their `_target_` names.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class GeneratorRecipe:
    """The generator's part of a recipe."""

    epochs: int = MISSING
    batch_size: int = MISSING
    epoch_labels_per_class: int = MISSING
    image_size: int = MISSING


@dataclass
class Recipe:
    """Tuned values that a dataset brings; read by interpolation only. What nothing reads may stay unset."""

    epochs: int = MISSING
    batch_size: int = MISSING
    lr: float = MISSING
    weight_decay: float = MISSING
    epoch_labels_per_class: int = MISSING  # an epoch repeats the subset to about this many images per class
    flip: float = MISSING  # probability of a horizontal flip
    segment_scale: float = MISSING  # of Felzenszwalb's superpixels
    cutout_size: int = MISSING  # side of Cutout's square in pixels
    autoaugment: str = MISSING  # policy of AutoAugment: cifar10 or imagenet
    generator: GeneratorRecipe = field(default_factory=GeneratorRecipe)


@dataclass
class MachineConfig:
    """Where and how a run computes; never part of its identity."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: str = "auto"  # auto, fp32, tf32, bf16, fp16
    compile: Any = False  # true: torch.compile; graphs: whole steps as CUDA graphs; full: both
    data_dir: str = "data"  # downloaded data sets
    runs_dir: str = "runs"  # run folders
    threads: int | None = None  # of an operation on the CPU; null: as many as the process or its Slurm job may use
    workers: int = 4  # threads that decode images, processes that compute superpixels of large subsets
    mirror: str | None = None  # address or folder in front of the archives' file names, instead of the official one


@dataclass
class MonitorConfig:
    """What a run shows and keeps; changes no figure and is not part of its identity."""

    evaluate_every: int = 10  # epochs between evaluations on the test set; 0: after the last epoch only
    pictures_every: int = 20  # epochs between a generator's pictures; 0: after the last epoch only
    checkpoint_seconds: float = 120  # seconds between checkpoints
    keep_checkpoint: bool = True  # false: a finished run keeps its weights only


@dataclass
class SweepConfig:
    """How a sweep's runs are spread over jobs; changes no figure and is not part of their identity."""

    pack: int | None = (
        None  # runs at the same time on one job's GPU or CPUs; null: 1, with the local launcher see there
    )


@dataclass
class WandbConfig:
    """Weights & Biases."""

    mode: str = "disabled"  # disabled, online, offline
    project: str = "chimeramix"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Config:
    """The root of the tree; a key that is not here is refused."""

    dataset: Any = MISSING
    recipe: Recipe = field(default_factory=Recipe)
    method: str | None = None  # name in tables; null: the experiment's
    max_labels_per_class: int | None = 10  # samples per class; null: all
    seed: int = 0  # weights, order, mixing
    split_seed: int = MISSING  # which samples are drawn
    epochs: int = MISSING
    batch_size: int = MISSING
    epoch_labels_per_class: int = MISSING  # an epoch repeats the subset to about this many images per class
    optimizer: Any = MISSING
    schedule: Any = MISSING
    model: Any = MISSING
    augment: Any = MISSING
    erase: Any = None
    mixer: Any = MISSING
    mask: Any = None
    generator: Any = None
    loss: Any = MISSING
    procedure: Any = None
    machine: MachineConfig = field(default_factory=MachineConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    rerun: bool = False  # true: start anew instead of reporting or resuming
