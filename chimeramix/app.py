"""The two entry points: from a command line to an exit status, mistakes said in one line."""

import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from chimeramix.config.compose import read_command_line, register, settings_of
from chimeramix.config.place import CONFIG_DIR
from chimeramix.config.sweep import read_sweep
from chimeramix.config.tree import tree_of
from chimeramix.errors import UserError
from chimeramix.terminal import exit_status, set_up_logging


def launch(hydra_main: Callable[[], None], role: str) -> NoReturn:
    """Does what this process' command line says; ends the process with 0, 1 (failure), 2 (user's mistake) or
    128 + signal number.

    Args:
        hydra_main: a `hydra.main` function, which answers what Hydra can (`--help`, `--info`, `--cfg`, completion).
        role: `generator` or `classifier`.
    """
    raise SystemExit(exit_status(lambda: _do(hydra_main, role)))


def run(role: str, words: list[str]) -> int:
    """Does what `train_<role>.py` does with these words, where there is no such script; returns the exit status."""

    def main(config: DictConfig) -> None:
        """Does nothing, as in the scripts."""

    main.__module__ = f"train_{role}"  # Hydra's name of the job: of the script, or of this
    hydra_main = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=f"train_{role}")(main)
    before = sys.argv
    sys.argv = [sys.argv[0], *words]  # where Hydra reads them
    try:
        return exit_status(lambda: _do(hydra_main, role))
    finally:
        sys.argv = before


def complete(words: list[str]) -> int:
    """Answers Hydra's functions for shells, which know a program's name alone: with `chimeramix -sc query=bash` they
    ask what may follow in the line that is typed, `COMP_LINE`."""
    line = os.environ.get("COMP_LINE")
    if line is None:  # install=bash, the same for both roles
        return run("classifier", words)
    typed = re.match(r"\s*\S+\s+train-(generator|classifier)\s+(.*)", line)
    if typed is None:  # another command
        return 0
    os.environ["COMP_LINE"] = f"chimeramix {typed[2]}"
    return run(typed[1], words)


def _do(hydra_main: Callable[[], None], role: str) -> None:
    options = read_command_line()
    if options.help or options.hydra_help or options.info or options.shell_completion:
        _ask_hydra(hydra_main, options.overrides)
        return
    if options.config_path:
        raise UserError("--config-path is not for this command: add options of your own with --config-dir=FOLDER")
    if options.experimental_rerun:
        raise UserError("--experimental-rerun is not for this command: repeat it with the same words (and rerun=true)")
    tree, overrides = tree_of(role, options.overrides, options.config_dir, options.config_name)
    multirun = options.multirun or "hydra.mode=MULTIRUN" in overrides
    if options.cfg:  # a dry run refuses what the run would refuse
        if multirun:
            from chimeramix.sweep.status import preview

            preview(read_sweep(tree, overrides))
        else:
            settings_of(tree, overrides)
            _ask_hydra(hydra_main, options.overrides)
        return
    set_up_logging()
    # torch is imported only when there is something to do.
    if multirun:
        from chimeramix.sweep.driver import sweep

        sweep(tree, overrides)
    else:
        settings = settings_of(tree, overrides)
        from chimeramix.runs.train import train

        train(settings)


def _ask_hydra(hydra_main: Callable[[], None], overrides: list[str]) -> None:
    register()
    # Hydra reads options before or after all overrides, but not between them.
    sys.argv = [sys.argv[0], *overrides, *(word for word in sys.argv[1:] if word not in overrides)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise errors instead of printing them
    try:
        hydra_main()
    # ValueError: a word that shell completion does not know
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
