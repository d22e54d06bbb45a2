"""A sweep's overrides expanded to the settings of its runs.

Hydra composes each run of a sweep from its files, a tenth of a second each: minutes for the papers' sweeps. Here runs
that choose the same options of the config groups share one composition, to which each run's values are then applied as
Hydra applies them.
"""

import copy
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chimeramix.config.compose import (
    apply_overrides,
    compose_tree,
    compose_with_hydra,
    hydra_ready,
    parse,
    settings_from,
)
from chimeramix.config.messages import options_of
from chimeramix.config.overrides import check_overrides
from chimeramix.config.place import entry_point
from chimeramix.config.settings import Settings
from chimeramix.config.tree import Tree
from chimeramix.errors import UserError


@dataclass(frozen=True)
class Sweep:
    """What a sweep's command line says.

    Attributes:
        role: `generator` or `classifier`.
        overrides: as given, lists and ranges included, after the options for another configuration tree.
        runs: settings of each combination; the last override varies fastest.
        launcher: the chosen option of `hydra/launcher`.
        resources: the launcher's keys.
        folder: where the sweep's own files go (`hydra.sweep.dir`).
        largest_batch: most jobs that are submitted at once (`hydra.sweeper.max_batch_size`).
        command: repeats it; empty for the entry point's command with these overrides and `--multirun`.
    """

    role: str
    overrides: list[str]
    runs: list[Settings]
    launcher: str
    resources: dict[str, Any]
    folder: Path
    largest_batch: int | None
    command: str = ""


def read_sweep(tree: Tree, overrides: list[str]) -> Sweep:
    """Composes all runs of a sweep. Raises `UserError` for a mistake in any of them."""
    with hydra_ready(tree):
        jobs = _combinations([parse(word) for word in overrides], tree.folders)
        if not jobs:
            raise UserError("this sweep has no jobs: one of its lists or ranges is empty")
        return _composed(Composer(tree), tree.options + overrides, jobs)


def sweep_of_jobs(tree: Tree, overrides: list[str], jobs: list[list[str]], command: str = "") -> Sweep:
    """Composes runs whose overrides are given one by one. Raises `UserError` for a mistake in any of them.

    Args:
        overrides: what the sweep's folder says of it.
        jobs: the overrides of each run, at least one; the first one's choose the launcher.
        command: repeats the sweep.
    """
    with hydra_ready(tree):
        return replace(_composed(Composer(tree), tree.options + overrides, jobs), command=command)


def _composed(composer: "Composer", overrides: list[str], jobs: list[list[str]]) -> Sweep:
    runs = [composer.settings(job) for job in jobs]
    launcher, resources, folder, largest_batch = _launcher_settings(composer.tree, jobs[0])
    return Sweep(composer.tree.role, overrides, runs, launcher, resources, folder, largest_batch)


def _combinations(overrides: list[Override], folders: Sequence[Path]) -> list[list[str]]:
    """The overrides of each run; the last one varies fastest."""
    axes = []
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UserError(
                f"{override.input_line}: a sweep needs a list or range(START,STOP); for an interval use "
                f"chimeramix tune {entry_point('classifier')} ... in place of --multirun"
            )
        value = override.value()
        if isinstance(value, Glob):
            axes.append([f"{override.get_key_element()}={name}" for name in _matching(override, value, folders)])
        elif override.is_sweep_override():
            axes.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([str(override.input_line)])
    return [list(job) for job in itertools.product(*axes)]


def _matching(override: Override, glob: Glob, folders: Sequence[Path]) -> list[str]:
    """The options that a glob names: `glob(*)` those of the group itself, `glob(small/*)` those of a sub-folder, which
    Hydra does not list. Raises `UserError` for a pattern that names none."""
    group = override.key_or_group
    options = options_of(group, folders)
    if not options:
        raise UserError(f"{override.input_line}: {group} is no group of options, and glob() names those")

    def named(pattern: str, names: Iterable[str]) -> set[str]:
        found = {name for name in names if name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)}
        if not found:
            raise UserError(f"{override.input_line}: none of these options of {group} is called {pattern}")
        return found

    included = set().union(*(named(pattern, options) for pattern in glob.include))
    excluded = set().union(*(named(pattern, included) for pattern in glob.exclude))
    return sorted(included - excluded)


class Composer:
    """Composes the runs of one tree, within `hydra_ready`: those of the same options from one composition of them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._parsed: dict[str, tuple[Override, bool]] = {}
        self._checked: set[str] = set()
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}

    def settings(self, job: list[str]) -> Settings:
        """As `compose_settings` of these overrides. Raises `UserError`."""
        words = [(word, *self._parse(word)) for word in job]
        choices = tuple(word for word, _, of_a_group in words if of_a_group)  # their order counts
        if choices not in self._composed or not self._checked.issuperset(job):
            check_overrides(self.tree, [override for _, override, _ in words])
            self._checked.update(job)
        if choices not in self._composed:
            self._composed[choices] = compose_tree(self.tree, list(choices))
        shared, names = self._composed[choices]
        config = copy.deepcopy(shared)
        own = [override for _, override, of_a_group in words if not of_a_group and not override.is_hydra_override()]
        try:
            apply_overrides(config, own)
        except (HydraException, OmegaConfBaseException):
            compose_tree(self.tree, job)  # says what is wrong
            raise
        return settings_from(self.tree, config, names, job)

    def _parse(self, word: str) -> tuple[Override, bool]:
        """An override, and whether it chooses an option of a config group."""
        if word not in self._parsed:
            override = parse(word)
            key = override.key_or_group
            self._parsed[word] = override, key.startswith("hydra/") or bool(options_of(key, self.tree.folders))
        return self._parsed[word]


def _launcher_settings(tree: Tree, job: list[str]) -> tuple[str, dict[str, Any], Path, int | None]:
    hydra = compose_with_hydra(tree, job).hydra
    try:
        resources = OmegaConf.to_container(hydra.launcher, resolve=True)
        assert isinstance(resources, dict)
        plain = {str(key): value for key, value in resources.items()}
        folder = Path(hydra.sweep.dir).expanduser()
        return hydra.runtime.choices["hydra/launcher"], plain, folder, hydra.sweeper.max_batch_size
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(" ".join(str(error).split())) from error
