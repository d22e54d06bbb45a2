"""The commands that a message tells to type."""

import shlex

from chimeramix.config.place import entry_command
from chimeramix.runs.spec import keys_of

# Dropping these overrides of a classifier's command leaves the command that trains its generator.
_CLASSIFIER_ONLY = {*keys_of("classifier")} - {*keys_of("generator")} | {"method", "rerun", "tuned", "monitor"}


def train_command(role: str, overrides: list[str]) -> str:
    """The command line that trains a role with these overrides, for the current directory."""
    return shlex.join([*entry_command(role), *overrides])


def generator_command(overrides: list[str]) -> str:
    """The command that trains the generator which a classifier with these overrides looks for."""
    return train_command("generator", [word for word in overrides if _part(word) not in _CLASSIFIER_ONLY])


def _part(word: str) -> str:
    """The part of the configuration that an override changes: `generator` of `schedule@generator.schedule=cosine`."""
    return _key(word).rpartition("@")[2].partition(".")[0]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def resume_command(role: str, overrides: list[str]) -> str:
    """The command that goes on with a run which was started, maybe with `rerun=true`, with these overrides."""
    if role == "generator":  # maybe trained on the way, with a classifier's overrides
        return generator_command(overrides)
    return train_command(role, to_repeat(overrides))


def to_repeat(overrides: list[str]) -> list[str]:
    """The overrides of a command that goes on: without `rerun`, which would start over, and without the sweep's folder,
    which is taken by now."""
    return [word for word in overrides if _key(word) not in ("rerun", "hydra.sweep.dir")]
