"""The configuration: typed root, composition, and what a run gets of it. The only module that knows OmegaConf.

Groups (dataset, model, mixer, ...) are plain YAML with a `_target_`; the target's constructor is their schema, checked
by `chimeramix.config_check`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chimeramix.config_check import check_types, did_you_mean
from chimeramix.errors import UserError

CONFIG_DIR = Path(__file__).resolve().parent.parent / "conf"


@dataclass
class MachineConfig:
    """Where and how a run computes; never part of its identity."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: str = "auto"  # auto, fp32, bf16, fp16
    compile: bool = False  # torch.compile
    data_dir: str = "data"  # downloaded data sets
    runs_dir: str = "runs"  # run folders
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
    recipe: Any = MISSING  # tuned values that a dataset brings; read by interpolation only
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
    mixer: Any = MISSING
    mask: Any = None
    generator: Any = None
    loss: Any = MISSING
    machine: MachineConfig = field(default_factory=MachineConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    rerun: bool = False  # true: start anew instead of reporting or resuming


@dataclass(frozen=True)
class Settings:
    """A composed, resolved and checked configuration in plain Python.

    Attributes:
        role: `generator` or `classifier`.
        values: every key, interpolations resolved.
        names: the chosen option of each config group ("dataset": "cifair10", ...).
        overrides: the command line's.
    """

    role: str
    values: dict[str, Any]
    names: dict[str, str | None]
    overrides: list[str]


def register() -> None:
    """Makes the schema and the resolvers known to Hydra; before any composition."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("max", lambda *values: max(values), replace=True)


def settings_of(config: DictConfig, role: str) -> Settings:
    """What Hydra composed for this process, as settings. Raises `UserError`."""
    hydra = HydraConfig.get()
    return _check(config, role, dict(hydra.runtime.choices), list(hydra.overrides.task))


def compose_settings(role: str, overrides: list[str]) -> Settings:
    """Composes as the command `train_<role>.py` does with these arguments. Raises `UserError`."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose(f"train_{role}", overrides, return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
    return _check(config, role, choices, overrides)


def _check(config: DictConfig, role: str, choices: dict[str, Any], overrides: list[str]) -> Settings:
    names = {group: choice if isinstance(choice, str) else None for group, choice in choices.items()}
    _check_overrides(role, overrides)
    if OmegaConf.is_missing(config, "dataset"):
        raise UserError("no dataset is chosen: add +dataset=NAME, such as +dataset=cifair10 or +dataset=demo/digits")
    known = set(Config.__dataclass_fields__)
    for key in map(str, config):
        if key not in known:
            raise UserError(f"unknown key {key}{did_you_mean(key, known)}")
    for key in sorted(known):
        if OmegaConf.is_missing(config, key):
            raise UserError(f"{key} is not set: add {key}=VALUE")
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    _resolve_stages(plain)
    _check_values(plain)
    for group in ("dataset", "optimizer", "schedule", "model", "augment", "mixer", "loss", "generator", "mask"):
        if plain[group] is not None:
            check_types(plain[group], group)
    return Settings(role, plain, names, overrides)


def _check_overrides(role: str, overrides: list[str]) -> None:
    keys = [re.split(r"[=@]", override.lstrip("+~"))[0] for override in overrides]
    if "dataset" in keys and "experiment" in keys and keys.index("experiment") < keys.index("dataset"):
        raise UserError(
            "+dataset must come before +experiment on the command line: an experiment may replace what a dataset sets"
        )
    if role == "generator":
        for key in keys:
            if key in ("epochs", "batch_size", "epoch_labels_per_class") or key.split(".")[0] in (
                "optimizer",
                "schedule",
            ):
                raise UserError(f"{key} belongs to the classifier; the generator's key is generator.{key}")


def _resolve_stages(values: dict[str, Any]) -> None:
    """A mask may have one value for the generator's stage and one for the classifier's (`segment_size`); from here on
    each stage's copy of the mask holds its own, so that neither stage's identity depends on the other's."""
    for owner, stage in (("generator", "generator"), ("mixer", "classifier"), (None, "classifier")):
        mask = values["mask"] if owner is None else (values[owner] or {}).get("mask")
        if isinstance(mask, dict) and isinstance(mask.get("segment_size"), dict):
            sizes = mask["segment_size"]
            for key in sizes:
                if key not in ("generator", "classifier"):
                    raise UserError(
                        f"unknown key mask.segment_size.{key}{did_you_mean(key, ['generator', 'classifier'])}"
                    )
            mask["segment_size"] = sizes.get(stage)


def _check_values(values: dict[str, Any]) -> None:
    for key in ("max_labels_per_class", "epochs", "batch_size", "epoch_labels_per_class"):
        if values[key] is not None and values[key] < 1:
            raise UserError(f"{key}={values[key]}: must be at least 1")
    for key in ("seed", "split_seed"):
        if values[key] < 0:
            raise UserError(f"{key}={values[key]}: must not be negative")
    if values["machine"]["workers"] < 1:
        raise UserError(f"machine.workers={values['machine']['workers']}: must be at least 1")
    for key, value in values["monitor"].items():
        if value < 0:
            raise UserError(f"monitor.{key}={value}: must not be negative")
    modes = ("disabled", "online", "offline")
    if values["wandb"]["mode"] not in modes:
        mode = values["wandb"]["mode"]
        raise UserError(f"wandb.mode={mode}: choose one of {', '.join(modes)}{did_you_mean(mode, modes)}")
