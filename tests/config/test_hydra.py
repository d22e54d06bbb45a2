"""Hydra's private modules that `chimeramix.config.compose` uses: they hold for these releases."""

import inspect
from importlib.metadata import version

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser


def test_the_release_is_one_that_was_tried() -> None:
    """Where this fails, run the tests of tests/config and tests/test_bad_input.py, then add the release."""
    assert version("hydra-core").rpartition(".")[0] == "1.3"


def test_what_is_used_of_them_is_there() -> None:
    assert list(inspect.signature(ConfigLoaderImpl._apply_overrides_to_config).parameters) == ["overrides", "cfg"]
    assert {"task_name", "config_search_path"} <= inspect.signature(Hydra.create_main_hydra2).parameters.keys()
    assert "search_path_dir" in inspect.signature(create_config_search_path).parameters
    options = get_args_parser().parse_args(
        ["a=1", "--multirun", "--config-dir", "d", "--config-name", "n", "--cfg", "job"]
    )
    assert (options.overrides, options.multirun, options.config_dir, options.config_name) == (["a=1"], True, "d", "n")
    assert options.cfg == "job"
