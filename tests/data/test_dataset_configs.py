"""Every YAML of the group `dataset` fits the class that it names."""

import dataclasses
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from chimeramix.config.compose import compose_settings

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "dataset"
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def load(name):
    return OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"), resolve=False)


def test_the_sweeps_take_the_top_level():
    assert [name for name in NAMES if "/" not in name] == ["cifair10", "cifair100", "stl10"]


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_constructor_s(name):
    settings = load(name)["dataset"]
    module, _, class_name = settings.pop("_target_").rpartition(".")
    source_class = getattr(import_module(module), class_name)
    signature = inspect.signature(source_class)
    signature.bind(**settings, data_dir="data", mirror=None, workers=0)
    source = source_class(**settings, data_dir="data", mirror=None, workers=0)
    corrupted = "_c" if name.startswith("corrupted/") else ""
    assert source.name == settings["name"] == name.rsplit("/", 1)[-1] + corrupted
    assert source.test_only == bool(corrupted)
    for part in ("prepare", "facts", "train", "test"):
        assert callable(getattr(source, part))


@pytest.mark.parametrize("path", sorted((FOLDER.parent / "recipe").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_has_all_keys(path):
    """Its own or, by its defaults, those of another."""
    settings = compose_settings("classifier", ["+dataset=cifair10", f"recipe={path.stem}"])
    recipe = dataclasses.asdict(settings.config.recipe)
    assert "???" not in [*recipe.values(), *recipe["generator"].values()]
    assert 0 <= recipe["flip"] <= 1


@pytest.mark.parametrize("name", NAMES)
def test_is_global(name):
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# @package _global_\n")


def test_importing_the_sources_is_quick():
    """No source needs torchvision or scikit-image before it is used (seconds of every command's start)."""
    modules = "cifar, corrupted, digits, image_folder, resize, segments, stl10, subset"
    code = (
        f"from chimeramix.data import {modules}; import sys; "
        "assert not {'torchvision', 'skimage', 'sklearn'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parents[1])
