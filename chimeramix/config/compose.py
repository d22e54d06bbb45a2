"""The configuration: composed by Hydra, checked, and handed on in plain Python.

Keys and types are in `chimeramix.config.schema`. Groups (dataset, model, mixer, ...) are plain YAML with a `_target_`;
the target's constructor is their schema, checked by `chimeramix.config.checks`.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from chimeramix.config.checks import check_types, check_values, did_you_mean, resolve_stages
from chimeramix.config.messages import CompositionError, options_of
from chimeramix.config.schema import Config
from chimeramix.errors import UserError

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"

_GROUPS = ("dataset", "optimizer", "schedule", "model", "augment", "mixer", "loss")
_OPTIONAL_GROUPS = ("erase", "mask", "generator", "procedure")
_CLASSIFIER_RECIPE = ("epochs", "batch_size", "epoch_labels_per_class", "optimizer", "schedule")


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
    extra = [f"--config-dir={source.path}" for source in hydra.runtime.config_sources if source.provider == _EXTRA]
    return settings_from(config, role, dict(hydra.runtime.choices), extra + list(hydra.overrides.task))


def compose_settings(role: str, overrides: list[str], config_dir: str | None = None) -> Settings:
    """Composes as the command `train_<role>.py` does with these arguments. Raises `UserError`.

    Args:
        role: `generator` or `classifier`.
        overrides: as on the command line, such as `+dataset=cifair10`.
        config_dir: a folder with further options of the groups (Hydra's `--config-dir`).
    """
    folders = [CONFIG_DIR, *([Path(config_dir)] if config_dir else [])]
    with hydra_ready(config_dir):
        check_overrides(role, [parse(word) for word in overrides], folders)
        config, choices = compose_tree(role, overrides, folders)
        return settings_from(config, role, choices, overrides)


_EXTRA = "command-line"  # Hydra's name of what --config-dir adds


@contextmanager
def hydra_ready(config_dir: str | None, task_name: str = "chimeramix") -> Iterator[Hydra]:
    """Hydra with the configuration folders that a command has."""
    register()
    version.setbase("1.3")
    folders = create_config_search_path(str(CONFIG_DIR))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"--config-dir={config_dir}: no such folder")
        folders.prepend(_EXTRA, f"file://{Path(config_dir).absolute()}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2(task_name=task_name, config_search_path=folders)
    finally:
        GlobalHydra.instance().clear()


def parse(word: str) -> Override:
    """An override of the command line, within `hydra_ready`. Raises `UserError`."""
    loader = GlobalHydra.instance().config_loader()
    try:
        override = OverridesParser.create(config_loader=loader).parse_overrides([word])[0]
    except HydraException as error:
        reason = str(error).split("\nSee ")[0].splitlines()[-1].split(" expecting ")[0]
        raise UserError(f"{word}: not of the form KEY=VALUE ({reason})") from error
    if not override.key_or_group:
        raise UserError(f"{word}: not of the form KEY=VALUE")
    return override


def compose_tree(role: str, overrides: list[str], folders: list[Path]) -> tuple[DictConfig, dict[str, Any]]:
    """The unresolved tree and the chosen options, within `hydra_ready`. Raises `UserError`."""
    try:
        config = compose(f"train_{role}", overrides, return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        problem = CompositionError(error, folders)
        if not problem.unknown_key:
            raise UserError(problem.line) from error
        raise UserError(problem.line + _hint(problem.unknown_key, role, overrides)) from error
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config, choices


def _hint(key: str, role: str, overrides: list[str]) -> str:
    """What the user may have meant, out of the keys that there are with the chosen options."""
    groups = {path.name for path in CONFIG_DIR.iterdir() if path.is_dir()}
    choices = [word for word in overrides if parse(word).key_or_group in groups]
    try:
        config = compose(f"train_{role}", choices)
    except HydraException:  # the key is in the experiment's own file
        config = compose(f"train_{role}", [word for word in choices if not word.startswith("+experiment=")])
    head, *rest = key.split(".")
    if rest and head in groups and config[head] is None:
        options = ", ".join(options_of(head, [CONFIG_DIR]))
        return f"; there is no {head} here: choose one with {head}=NAME ({options}) or an experiment that has one"
    # Nobody means the recipe's keys, or the classifier's where a generator is trained, but who writes them.
    hidden = {"recipe", *(_CLASSIFIER_RECIPE if role == "generator" else ())} - {head}
    return did_you_mean(key, [path for path in _paths(config) if path.split(".")[0] not in hidden])


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        if not str(key).startswith("_"):
            yield prefix + str(key)
            if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
                yield from _paths(value, f"{prefix}{key!s}.")


def check_overrides(role: str, overrides: list[Override], folders: list[Path]) -> None:
    """What is wrong with the words of the command line, whatever the configuration files hold."""
    keys = [str(override.key_or_group) for override in overrides]
    for group in ("dataset", "experiment"):
        if keys.count(group) > 1:
            raise UserError(f"+{group} is given more than once: choose one, or sweep with +{group}=A,B --multirun")
    if "dataset" in keys and "experiment" in keys and keys.index("experiment") < keys.index("dataset"):
        raise UserError(
            "+dataset must come before +experiment on the command line: an experiment may replace what a dataset sets"
        )
    for override, key in zip(overrides, keys, strict=True):
        word = str(override.input_line)
        if role == "generator" and key.split(".")[0] in _CLASSIFIER_RECIPE:
            raise UserError(f"{key} belongs to the classifier; the generator's key is generator.{key}")
        options = options_of(key, folders)
        if not options or override.is_delete():
            continue
        if not isinstance(override.value(), str):
            raise UserError(f"{word}: choose an option by its name: {', '.join(options)}")
        if key in ("dataset", "experiment") and not override.is_add():
            raise UserError(f"{word}: write +{word}, with a plus")
        if key not in ("dataset", "experiment") and override.is_add():
            raise UserError(f"{word}: write {word.lstrip('+')}, without the plus")


def settings_from(config: DictConfig, role: str, choices: dict[str, Any], overrides: list[str]) -> Settings:
    """Resolves and checks a composed tree. Raises `UserError`."""
    names = {group: choice if isinstance(choice, str) else None for group, choice in choices.items()}
    if OmegaConf.is_missing(config, "dataset"):
        raise UserError("no dataset is chosen: add +dataset=NAME, such as +dataset=cifair10 or +dataset=demo/digits")
    _check_keys(config, role, overrides)
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{error.full_key}: {reason}" if error.full_key else reason) from error
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    resolve_stages(plain)
    check_values(plain)
    for group in (*_GROUPS, *_OPTIONAL_GROUPS):
        if plain[group] is None and group in _OPTIONAL_GROUPS:
            continue
        options = options_of(group, [CONFIG_DIR])
        if options and not (isinstance(plain[group], dict) and "_target_" in plain[group]):
            raise UserError(f"there is no {group} here: choose one with {group}=NAME ({', '.join(options)})")
        check_types(plain[group], group)
    return Settings(role, plain, names, overrides)


def _check_keys(config: DictConfig, role: str, overrides: list[str], schema: Any = Config, prefix: str = "") -> None:
    """Refuses what `+` added to the typed part of the tree or `~` took from it."""
    known = {entry.name: entry for entry in dataclasses.fields(schema)}
    for key in map(str, config):
        if key not in known:
            raise UserError(f"unknown key {prefix}{key}{_hint(prefix + key, role, overrides)}")
    for key in known:
        if key not in config:
            raise UserError(f"~{prefix}{key}: this key can't be removed")
        if OmegaConf.is_missing(config, key) and schema is Config:
            raise UserError(f"{key} is not set: add {key}=VALUE")
        section = OmegaConf.get_type(config, key)
        if dataclasses.is_dataclass(section):
            _check_keys(config[key], role, overrides, section, f"{prefix}{key}.")
