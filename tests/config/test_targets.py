"""The `_target_` of every configuration file: names of one form, and what became of earlier ones."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

from chimeramix.config.compose import CONFIG_DIR, compose_settings
from chimeramix.config.targets import FIRST_TARGETS, with_current_targets

FILES = sorted(CONFIG_DIR.rglob("*.yaml"))


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "_target_" else targets(value)
    elif isinstance(node, list):
        for item in node:
            yield from targets(item)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONFIG_DIR).as_posix())
def test_targets_are_exports_of_a_folder_of_the_package(path: Any) -> None:
    for target in targets(yaml.safe_load(path.read_text(encoding="utf-8"))):
        if target.startswith("chimeramix."):
            folder, _, name = target.rpartition(".")
            assert folder.count(".") == 1
            assert name in importlib.import_module(folder).__all__


def test_renamed_parts_are_there_under_the_new_name() -> None:
    assert all(callable(get_object(target)) for target in FIRST_TARGETS)
    assert len(set(FIRST_TARGETS.values())) == len(FIRST_TARGETS)


def test_files_of_earlier_versions_get_todays_names() -> None:
    old = {"mixer": {"methods": {"cutmix": {"_target_": "chimeramix.mixing.cutmix.BoxHole"}}, "steps": [0.1]}}
    new = {"mixer": {"methods": {"cutmix": {"_target_": "chimeramix.mixing.BoxMask"}}, "steps": [0.1]}}
    assert with_current_targets(old) == with_current_targets(new) == new


def test_so_do_users_files_and_commands() -> None:
    words = ["+dataset=cifair10", "+experiment=chimeramix_grid"]
    old = "generator._target_=chimeramix.generators.chimera.ChimeraTraining"
    assert compose_settings("generator", [*words, old]).config == compose_settings("generator", words).config
