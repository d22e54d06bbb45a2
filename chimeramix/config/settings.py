"""A command's configuration once it is composed, resolved and checked: plain, typed Python."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chimeramix.config.own_code import own_folders
from chimeramix.config.schema import Config
from chimeramix.config.targets import with_current_targets

Section = TypeVar("Section")


@dataclass(frozen=True)
class Settings:
    """What a command is to do.

    Attributes:
        role: `generator` or `classifier`.
        config: every key, interpolations resolved; config groups are dictionaries with a `_target_`.
        names: the chosen option of each config group ("dataset": "cifair10", ...).
        overrides: the command line's.
        generator_seed: `generator.seed`, of the generator that the same overrides train; None for the run's own.
        replaced: parts of another method than the experiment's that the command line chose: `mixer=cutmix`.
    """

    role: str
    config: Config
    names: dict[str, str | None]
    overrides: list[str]
    generator_seed: int | None = None
    replaced: tuple[str, ...] = ()

    @property
    def own_folders(self) -> list[Path]:
        """Folders of one's own configuration files and Python modules that the command named."""
        return own_folders(self.overrides)

    @property
    def runs_dir(self) -> Path:
        return Path(self.config.machine.runs_dir).expanduser()

    def of_generator(self) -> "Settings":
        """The generator that the same overrides train, to its end."""
        seed = self.config.seed if self.generator_seed is None else self.generator_seed
        monitor = dataclasses.replace(self.config.monitor, stop_after=None)
        config = dataclasses.replace(self.config, rerun=False, seed=seed, monitor=monitor)
        return dataclasses.replace(self, role="generator", config=config)

    def to_json(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "values": dataclasses.asdict(self.config),
            "names": self.names,
            "overrides": self.overrides,
            "generator_seed": self.generator_seed,
            "replaced": list(self.replaced),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        config, names = config_from_file(content["values"]), content["names"]
        replaced = tuple(content.get("replaced", ()))
        return cls(content["role"], config, names, content["overrides"], content.get("generator_seed"), replaced)


def config_from_file(values: Mapping[str, Any]) -> Config:
    """A configuration that was written to a file, maybe by an earlier version: keys that the file lacks have the
    schema's default, and those that the schema lacks by now are left out."""
    return typed(with_current_targets(values), Config)


def typed(values: Mapping[str, Any], schema: type[Section]) -> Section:
    """The values of keys as the schema's dataclasses."""
    given = {}
    for field in dataclasses.fields(schema):  # type: ignore[arg-type]
        if field.name in values:
            value = values[field.name]
            section = isinstance(field.type, type) and dataclasses.is_dataclass(field.type)
            given[field.name] = typed(value, field.type) if section else value  # type: ignore[arg-type]
    return schema(**given)
