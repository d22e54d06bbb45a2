"""What the two entry points share: from a command line to an exit status, mistakes told in one line."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from chimeramix.config import compose as configuration
from chimeramix.config.sweep import read_sweep
from chimeramix.errors import Interrupted, RunFailure, UserError
from chimeramix.terminal import set_up_logging

configuration.register()


def launch(main: Callable[[], None], role: str) -> None:
    """Runs a `hydra.main` function; ends the process with 0, 1 (failure), 2 (user's mistake) or 128 + signal number."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions on, instead of printing them on the way
    try:
        if not _swept(role):
            main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(2, _line(error))
    except (RunFailure, OSError) as error:
        _exit(1, _line(error))
    except Interrupted as stop:
        _interrupted(stop, any(word.lstrip("+").startswith("rerun=") for word in sys.argv))
    except KeyboardInterrupt:
        _exit(130, "interrupted")


def _swept(role: str) -> bool:
    """Does a sweep, which Hydra would start without a look at what is done already; False for all other commands.

    Those are composed first as Hydra is about to, so that all of them, a dry run included, refuse the same mistakes in
    the same words, and before Hydra writes anything.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    arguments = parser.parse_args()
    if arguments.help or arguments.hydra_help or arguments.info or arguments.shell_completion:
        return False
    if arguments.config_name or arguments.config_path or arguments.experimental_rerun:
        return False  # another tree: `run` checks what becomes of it
    multirun = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
    if not multirun:
        configuration.compose_settings(role, arguments.overrides, arguments.config_dir)
        return False
    if arguments.cfg:
        read_sweep(role, arguments.overrides, arguments.config_dir)
        return False
    from chimeramix.sweep.driver import sweep  # torch is imported only when there is something to do

    set_up_logging()
    sweep(role, arguments.overrides, arguments.config_dir)
    return True


def _refuse(reason: str) -> NoReturn:
    raise UserError(f"{reason}; write settings as KEY=VALUE, and options before or after all of them (see --help)")


def run(config: DictConfig, role: str) -> None:
    """The body of both entry points."""
    set_up_logging()
    try:
        settings = configuration.settings_of(config, role)
        from chimeramix.runs.train import train  # torch is imported only when there is something to do

        train(settings)
    except (UserError, RunFailure, OSError) as error:
        # Not raised on: Hydra would print lines of its own.
        _exit(2 if isinstance(error, UserError) else 1, _line(error))
    except Interrupted as stop:
        # Not an Exception that Hydra would report as the job's: leave at once.
        _interrupted(stop, settings.values["rerun"])


def _interrupted(stop: Interrupted, anew: bool) -> NoReturn:
    again = "the same command without rerun=true" if anew else "the same command"
    _exit(128 + stop.signal_number, f"interrupted; {again} goes on from here")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _exit(status: int, line: str) -> NoReturn:
    print(f"error: {line}" if status in (1, 2) else line, file=sys.stderr)
    raise SystemExit(status)
