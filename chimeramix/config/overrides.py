"""The words of a command line: what is wrong with them whatever the configuration files hold."""

import re
from itertools import pairwise

from hydra.core.override_parser.types import Override

from chimeramix.config.hydra_keys import check_hydra_key
from chimeramix.config.messages import in_short, options_of
from chimeramix.config.schema import ADDED_GROUPS, CLASSIFIER_RECIPE
from chimeramix.config.tree import Tree
from chimeramix.errors import UserError

_OF_GENERATOR = {"schedule": "schedule@generator.schedule=NAME", "optimizer": "+optimizer@generator.optimizer=NAME"}


def check_overrides(tree: Tree, overrides: list[Override]) -> None:
    """Raises `UserError` for the first wrong one."""
    keys = [str(override.key_or_group) for override in overrides]
    for override, key in zip(overrides, keys, strict=True):
        check_hydra_key(key, str(override.input_line))
    for group in ADDED_GROUPS:
        if keys.count(group) > 1:
            raise UserError(f"+{group} is given more than once: choose one, or sweep with +{group}=A,B --multirun")
    given = [key for key in keys if key in ADDED_GROUPS]
    for before, after in pairwise(given):
        if ADDED_GROUPS.index(before) > ADDED_GROUPS.index(after):
            raise UserError(f"+{after} must come before +{before} on the command line: the later one replaces values")
    for override, key in zip(overrides, keys, strict=True):
        word = str(override.input_line)
        part = str(override.package or key).split(".")[0]  # of schedule@generator.schedule=cosine, generator
        if tree.role == "generator" and part in CLASSIFIER_RECIPE:
            raise UserError(
                f"{key} belongs to the classifier; the generator's "
                + (f"is {_OF_GENERATOR[key]}" if key in _OF_GENERATOR else f"key is generator.{key}")
            )
        group = re.sub(r"^generator[./]", "", key)
        if group != key and group in _OF_GENERATOR and isinstance(override.value(), str):
            raise UserError(f"{word}: an option of the generator's {group} is chosen with {_OF_GENERATOR[group]}")
        options = options_of(key, tree.folders)
        if not options or override.is_delete():
            continue
        if override.is_sweep_override():
            raise UserError(f"{word}: several options are a sweep: add --multirun")
        if not isinstance(override.value(), str):
            raise UserError(f"{word}: choose an option by its name: {in_short(options)}")
        added = key in ADDED_GROUPS or (key == "optimizer" and override.package == "generator.optimizer")
        if added and not override.is_add():
            raise UserError(f"{word}: write +{word}, with a plus")
        if override.is_add() and not added:
            raise UserError(f"{word}: write {word.lstrip('+')}, without the plus")
