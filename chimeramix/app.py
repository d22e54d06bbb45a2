"""What the two entry points share: from a command line to an exit status, mistakes told in one line."""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from chimeramix import config as configuration
from chimeramix.errors import Interrupted, RunFailure, UserError

configuration.register()

_failures: list[str] = []  # of a sweep's jobs in this process


def launch(main: Callable[[], None], role: str) -> None:
    """Runs a `hydra.main` function; ends the process with 0, 1 (failure), 2 (user's mistake) or 128 + signal number."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions on, instead of printing them on the way
    try:
        _check_command_line(role)
        main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(2, _line(error))
    except (RunFailure, OSError) as error:
        _exit(1, _line(error))
    except Interrupted as stop:
        _exit(128 + stop.signal_number, "interrupted; the same command goes on from here")
    except KeyboardInterrupt:
        _exit(130, "interrupted")
    if _failures:
        _exit(1, f"{len(_failures)} of the sweep's jobs failed")


def _check_command_line(role: str) -> None:
    """Composes as Hydra is about to, so that all commands, a dry run and a sweep included, refuse the same mistakes in
    the same words, and before Hydra writes anything."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    arguments = parser.parse_args()
    if arguments.help or arguments.hydra_help or arguments.info or arguments.shell_completion:
        return
    if arguments.config_name or arguments.config_path or arguments.experimental_rerun:
        return  # another tree: `run` checks what becomes of it
    sweeps = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
    check = configuration.check_sweep if sweeps else configuration.compose_settings
    check(role, arguments.overrides, arguments.config_dir)


def _refuse(reason: str) -> NoReturn:
    raise UserError(f"{reason}; write settings as KEY=VALUE, and options before or after all of them (see --help)")


def run(config: DictConfig, role: str) -> None:
    """The body of both entry points. In a sweep a failed job is told and does not take the others with it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    logging.raiseExceptions = False  # no traceback for a log line that a full disk does not take
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        settings = configuration.settings_of(config, role)
        from chimeramix import runs  # torch is imported only when there is something to do

        runs.train(settings)
    except (UserError, RunFailure, OSError) as error:
        if not sweeping:  # not raised on: Hydra would print lines of its own
            _exit(2 if isinstance(error, UserError) else 1, _line(error))
        _failures.append(_line(error))
        print(f"error: {_failures[-1]}", file=sys.stderr)
    except Interrupted as stop:
        # Not an Exception that Hydra would report as the job's: leave at once.
        again = "the same command without rerun=true" if settings.values["rerun"] else "the same command"
        _exit(128 + stop.signal_number, f"interrupted; {again} goes on from here")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _exit(status: int, line: str) -> NoReturn:
    print(f"error: {line}" if status in (1, 2) else line, file=sys.stderr)
    raise SystemExit(status)
