"""A sweep's overrides expanded to the settings of its runs.

Hydra composes each run of a sweep from its files, a tenth of a second each: minutes for the papers' sweeps. Here runs
that choose the same options of the config groups share one composition, to which each run's values are then applied as
Hydra applies them.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chimeramix.config.compose import (
    CONFIG_DIR,
    Settings,
    check_overrides,
    compose_tree,
    hydra_ready,
    parse,
    settings_from,
)
from chimeramix.config.messages import options_of
from chimeramix.errors import UserError


@dataclass(frozen=True)
class Sweep:
    """What a sweep's command line says.

    Attributes:
        role: `generator` or `classifier`.
        overrides: as given, lists and ranges included, after the option for a folder of the user's.
        runs: settings of each combination; the last override varies fastest.
        launcher: the chosen option of `hydra/launcher`.
        resources: the launcher's keys.
        folder: where the sweep's own files go (`hydra.sweep.dir`).
        largest_batch: most jobs that are submitted at once (`hydra.sweeper.max_batch_size`).
    """

    role: str
    overrides: list[str]
    runs: list[Settings]
    launcher: str
    resources: dict[str, Any]
    folder: Path
    largest_batch: int | None


def read_sweep(role: str, overrides: list[str], config_dir: str | None = None) -> Sweep:
    """Composes all runs of a sweep. Raises `UserError` for a mistake in any of them."""
    with hydra_ready(config_dir):
        jobs = BasicSweeper.split_arguments([parse(word) for word in overrides], None)[0]
    if not jobs:
        raise UserError("this sweep has no jobs: one of its lists or ranges is empty")
    with hydra_ready(config_dir, f"train_{role}") as hydra:
        composer = _Composer(role, config_dir)
        runs = [composer.settings(job) for job in jobs]
        launcher, resources, folder, largest_batch = _launcher_settings(hydra, role, overrides)
    return Sweep(role, composer.given + overrides, runs, launcher, resources, folder, largest_batch)


class _Composer:
    """Composes within `hydra_ready`."""

    def __init__(self, role: str, config_dir: str | None) -> None:
        self._role = role
        self.given = [f"--config-dir={Path(config_dir).absolute()}"] if config_dir else []
        self._folders = [CONFIG_DIR, *([Path(config_dir)] if config_dir else [])]
        self._parsed: dict[str, tuple[Override, bool]] = {}
        self._checked: set[str] = set()
        self._trees: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}

    def settings(self, job: list[str]) -> Settings:
        words = [(word, *self._parse(word)) for word in job]
        if not self._checked.issuperset(job):
            check_overrides(self._role, [override for _, override, _ in words], self._folders)
            self._checked.update(job)
        choices = tuple(word for word, _, of_a_group in words if of_a_group)
        if choices not in self._trees:
            self._trees[choices] = compose_tree(self._role, list(choices), self._folders)
        tree, names = self._trees[choices]
        config = copy.deepcopy(tree)
        own = [override for _, override, of_a_group in words if not of_a_group and not override.is_hydra_override()]
        try:
            OmegaConf.set_struct(config, True)
            ConfigLoaderImpl._apply_overrides_to_config(own, config)
            OmegaConf.set_struct(config, False)
        except (HydraException, OmegaConfBaseException):
            compose_tree(self._role, job, self._folders)  # tells what is wrong
            raise
        return settings_from(config, self._role, names, self.given + job)

    def _parse(self, word: str) -> tuple[Override, bool]:
        """An override, and whether it chooses an option of a config group."""
        if word not in self._parsed:
            override = parse(word)
            key = override.key_or_group
            self._parsed[word] = override, key.startswith("hydra/") or bool(options_of(key, self._folders))
        return self._parsed[word]


def _launcher_settings(hydra: Hydra, role: str, overrides: list[str]) -> tuple[str, dict[str, Any], Path, int | None]:
    try:
        tree = hydra.compose_config(f"train_{role}", overrides, run_mode=RunMode.MULTIRUN).hydra
        resources = OmegaConf.to_container(tree.launcher, resolve=True)
        assert isinstance(resources, dict)
        plain = {str(key): value for key, value in resources.items()}
        return (
            tree.runtime.choices["hydra/launcher"],
            plain,
            Path(tree.sweep.dir).expanduser(),
            tree.sweeper.max_batch_size,
        )
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(" ".join(str(error).split())) from error
