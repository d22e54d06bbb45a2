"""Composition of the configuration by Hydra: from the words of a command to checked settings, once per command.

The only file that knows Hydra's private modules. `tests/config/test_hydra.py` names the releases for which it holds;
what each of them is needed for stands beside it.
"""

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NoReturn

from hydra import compose, version

# The ConfigLoader applies overrides to a tree that is composed already, which no public function does: a sweep's runs
# then share one composition.
from hydra._internal.config_loader_impl import ConfigLoaderImpl

# `initialize_config_dir` takes one folder. Lists such as `+dataset=glob(*)` see a second one, of `--config-dir`, only
# if it is part of the search path from the beginning: hence this class, and the search path that it wants.
from hydra._internal.hydra import Hydra

# `hydra.main` reads its options with this parser, and so must what decides whether to call it.
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from chimeramix.config.checks import (
    check_types,
    check_validation,
    check_values,
    did_you_mean,
    resolve_stages,
    take_generator_seed,
)
from chimeramix.config.messages import CompositionError, options_of, quoted
from chimeramix.config.overrides import check_overrides
from chimeramix.config.own_code import make_importable
from chimeramix.config.place import CONFIG_DIR, entry_command
from chimeramix.config.schema import ADDED_GROUPS, CLASSIFIER_RECIPE, GROUPS, OPTIONAL_GROUPS, Config
from chimeramix.config.settings import Settings, typed
from chimeramix.config.targets import with_current_targets
from chimeramix.config.tree import Tree, tree_of
from chimeramix.errors import UserError

_OF_THE_METHOD = ("erase", "loss", "mask", "mixer", "procedure")  # groups of which another option is another method


def register() -> None:
    """Makes the schema and the resolvers known to Hydra; before any composition."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("max", lambda *values: max(values), replace=True)
    OmegaConf.register_new_resolver(
        "if", lambda condition, then, otherwise: then if condition else otherwise, replace=True
    )
    OmegaConf.register_new_resolver(
        "command", lambda job: shlex.join(entry_command(job.removeprefix("train_"))), replace=True
    )


def read_command_line(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Hydra's options and the overrides (`overrides`) of a command line, by default this process'. Raises `UserError`
    for what can't be read."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    return parser.parse_intermixed_args(words)


def _refuse(reason: str) -> NoReturn:
    raise UserError(f"{reason}; settings are written KEY=VALUE (see --help)")


def compose_settings(role: str, overrides: list[str], config_dir: str | None = None) -> Settings:
    """Composes as the command `train_<role>.py` does with these arguments. Raises `UserError`.

    Args:
        role: `generator` or `classifier`.
        overrides: as on the command line, such as `+dataset=cifair10`.
        config_dir: a folder with further options of the groups (Hydra's `--config-dir`).
    """
    return settings_of(*tree_of(role, overrides, config_dir))


def settings_of(tree: Tree, overrides: list[str]) -> Settings:
    """The same for any tree."""
    with hydra_ready(tree):
        check_overrides(tree, [parse(word) for word in overrides])
        config, choices = compose_tree(tree, overrides)
        return settings_from(tree, config, choices, overrides)


@contextmanager
def hydra_ready(tree: Tree) -> Iterator[None]:
    """Hydra with the configuration folders that a command has, whose Python modules can be imported from then on."""
    register()
    version.setbase("1.3")
    folders = create_config_search_path(str(CONFIG_DIR))
    if tree.config_dir is not None and not tree.config_dir.is_dir():
        raise UserError(f"--config-dir={tree.config_dir}: no such folder")
    make_importable(tree.folders[1:])
    for folder in tree.folders[1:]:
        folders.prepend("command-line", f"file://{folder.absolute()}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    _choices.cache_clear()  # files may have changed
    try:
        Hydra.create_main_hydra2(task_name=f"train_{tree.role}", config_search_path=folders)
        yield
    finally:
        GlobalHydra.instance().clear()


def parse(word: str) -> Override:
    """An override of the command line, within `hydra_ready`. Raises `UserError`."""
    loader = GlobalHydra.instance().config_loader()
    try:
        override = OverridesParser.create(config_loader=loader).parse_overrides([word])[0]
    except HydraException as error:
        reason = str(error).split("\nSee ")[0].splitlines()[-1].split(" expecting ")[0]
        known = re.fullmatch(r"[+~]*[\w./@]+=[^\[\]{}'\"]+", word)  # but for a sign in its value
        remedy = f"; if its value is a text, put it in quotes: {quoted(word)}" if known else ""
        raise UserError(f"{word}: not of the form KEY=VALUE ({reason.strip()}){remedy}") from error
    if not override.key_or_group:
        raise UserError(f"{word}: not of the form KEY=VALUE")
    return override


def compose_with_hydra(tree: Tree, overrides: list[str]) -> DictConfig:
    """The unresolved configuration and, as its key `hydra`, Hydra's own, within `hydra_ready`. Raises `UserError`."""
    try:
        return compose(tree.root, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        problem = CompositionError(error, tree.folders)
        if not problem.unknown_key:
            raise UserError(problem.line) from error
        raise UserError(problem.line + _hint(problem.unknown_key, tree, overrides)) from error


def compose_tree(tree: Tree, overrides: list[str]) -> tuple[DictConfig, dict[str, Any]]:
    """The unresolved configuration and the chosen options, within `hydra_ready`. Raises `UserError`."""
    config = compose_with_hydra(tree, overrides)
    choices = dict(config.hydra.runtime.choices)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config, choices


def apply_overrides(config: DictConfig, overrides: list[Override]) -> None:
    """Applies overrides that choose no option to a composed configuration, as Hydra does when it composes. Raises
    Hydra's and OmegaConf's errors."""
    OmegaConf.set_struct(config, True)
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)
    OmegaConf.set_struct(config, False)


def _hint(key: str, tree: Tree, overrides: list[str]) -> str:
    """What the user may have meant, out of the keys that there are with the chosen options."""
    groups = {path.name for path in CONFIG_DIR.iterdir() if path.is_dir()}
    choices = [word for word in overrides if parse(word).key_or_group in groups and not word.startswith(f"{key}=")]
    config = None
    without = [word for word in choices if not word.startswith(("+experiment=", "+track="))]
    for words in (choices, without, []):
        # The key may be in the file of the experiment or the track, or in the data set's.
        with suppress(HydraException, OmegaConfBaseException):
            config = compose(tree.root, words)
            break
    head, *rest = key.rpartition("@")[2].split(".")  # of schedule@generator.schedule, the place
    if head == "hydra" or config is None:  # Hydra has its own tree
        return ""
    of_mask = key.partition(".mask.")[2]  # mixers and generators have the mask's group, whose keys stand there
    if of_mask and of_mask in (config.get("mask") or {}):
        return f"; did you mean mask.{of_mask}?"
    if rest and head in ADDED_GROUPS and head not in config:
        return f"; choose an option with +{head}=NAME"
    if rest and head in groups and head in config and config[head] is None:
        options = ", ".join(options_of(head, [CONFIG_DIR]))
        return f"; there is no {head} here: choose one with {head}=NAME ({options}) or an experiment that has one"
    # The recipe's keys are suggested for the recipe's only, and a generator's command has none of the classifier's.
    hidden = {"recipe", *(CLASSIFIER_RECIPE if tree.role == "generator" else ())} - {head}
    paths = [path for path in _paths(config) if path.split(".")[0] not in hidden]
    if rest and head in config:  # what is meant is in that group
        near = did_you_mean(key, paths, f"{head}.")
        own = [path.removeprefix(f"{head}.") for path in paths if re.fullmatch(rf"{head}\.\w+", path)]
        return near or f"; {head} has {', '.join(own) or 'no keys'}"
    return did_you_mean(key, paths)


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        if not str(key).startswith("_"):
            yield prefix + str(key)
            if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
                yield from _paths(value, f"{prefix}{key!s}.")


def settings_from(tree: Tree, config: DictConfig, choices: dict[str, Any], overrides: list[str]) -> Settings:
    """Resolves and checks a composed configuration. Raises `UserError`."""
    names = {group: choice if isinstance(choice, str) else None for group, choice in choices.items()}
    if OmegaConf.is_missing(config, "dataset"):
        raise UserError("no dataset is chosen: add +dataset=NAME, such as +dataset=cifair10 or +dataset=demo/digits")
    _check_keys(config, tree, overrides)
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{error.full_key}: {reason}" if error.full_key else reason) from error
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    plain = with_current_targets(plain)
    resolve_stages(plain)
    generator_seed = take_generator_seed(plain)
    if tree.role == "generator" and generator_seed is not None:
        plain["seed"] = generator_seed
    replaced = _replaced(tree, names, overrides, plain)
    settings = Settings(tree.role, typed(plain, Config), names, tree.options + overrides, generator_seed, replaced)
    check_values(settings.config)
    check_validation(settings.config.validation, settings.config.split is not None)
    for group in (*GROUPS, *OPTIONAL_GROUPS):
        if plain[group] is None and group in OPTIONAL_GROUPS:
            continue
        options = options_of(group, tree.folders)
        if options and not (isinstance(plain[group], dict) and "_target_" in plain[group]):
            raise UserError(f"there is no {group} here: choose one with {group}=NAME ({', '.join(options)})")
        check_types(plain[group], group)
    return settings


def _holds_mask(part: Any) -> bool:
    return isinstance(part, dict) and ("mask" in part or any(map(_holds_mask, part.values())))


def _replaced(
    tree: Tree, names: dict[str, str | None], overrides: list[str], values: dict[str, Any]
) -> tuple[str, ...]:
    """`mixer=cutmix`, for each part of the method of which the command line chose another option than the experiment
    does."""
    chosen = [group for group in _OF_THE_METHOD if any(word.startswith(f"{group}=") for word in overrides)]
    added = tuple(word for word in overrides if word.startswith(tuple(f"+{group}=" for group in ADDED_GROUPS)))
    if not chosen or not any(word.startswith("+experiment=") for word in added):
        return ()
    own = _choices(tree, added)
    other = [group for group in chosen if names[group] != own[group]]
    if "mask" in other and not (_holds_mask(values["mixer"]) or _holds_mask(values["generator"])):
        other.remove("mask")  # it has no effect
    if "erase" in other and own["erase"] in (None, "none"):
        other.remove("erase")  # tables name an eraser beside the method, which is enough where that has none
    return tuple(f"{group}={names[group]}" for group in other)


@cache
def _choices(tree: Tree, overrides: tuple[str, ...]) -> dict[str, Any]:
    """The options that are chosen with these overrides, within `hydra_ready`."""
    return compose_tree(tree, list(overrides))[1]


def _check_keys(config: DictConfig, tree: Tree, overrides: list[str], schema: Any = Config, prefix: str = "") -> None:
    """Refuses what `+` added to the typed part of the configuration or `~` took from it."""
    known = {entry.name: entry for entry in dataclasses.fields(schema)}
    there = [str(key) for key in config]  # unset ones, too, for which `in` is False
    for key in there:
        if key not in known:
            raise UserError(f"unknown key {prefix}{key}{_hint(prefix + key, tree, overrides)}")
    for key in known:
        if key not in there:
            raise UserError(f"~{prefix}{key}: this key can't be removed")
        if OmegaConf.is_missing(config, key) and schema is Config:
            raise UserError(f"{key} is not set: add {key}=VALUE")
        section = OmegaConf.get_type(config, key)
        if dataclasses.is_dataclass(section):
            _check_keys(config[key], tree, overrides, section, f"{prefix}{key}.")
