"""What the two entry points share: from a composed configuration to an exit status, errors told in one line."""

import logging
import os
import re
import sys
from collections.abc import Callable

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from chimeramix import config as configuration
from chimeramix.config_check import did_you_mean
from chimeramix.errors import Interrupted, RunFailure, UserError

configuration.register()

_failures: list[str] = []  # of a sweep's jobs in this process


def launch(main: Callable[[], None], role: str) -> None:
    """Runs a `hydra.main` function; ends the process with 0, 1 (failure), 2 (user's mistake) or 128 + signal number."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions on, instead of printing them on the way
    try:
        if "--cfg" in sys.argv or "-c" in sys.argv:
            # A dry run shall refuse what the real run would; Hydra prints the configuration without asking us.
            configuration.compose_settings(role, [word for word in sys.argv[1:] if re.match(r"[+~]?[\w/.@]+=", word)])
            GlobalHydra.instance().clear()
        main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(2, describe(error, role))
    except (RunFailure, OSError) as error:
        _exit(1, describe(error, role))
    except Interrupted as stop:
        _exit(128 + stop.signal_number, "interrupted; the same command goes on from here")
    except KeyboardInterrupt:
        _exit(130, "interrupted")
    if _failures:
        _exit(1, f"{len(_failures)} of the sweep's jobs failed")


def run(config: DictConfig, role: str) -> None:
    """The body of both entry points. In a sweep a failed job is told and does not take the others with it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        settings = configuration.settings_of(config, role)
        from chimeramix import runs  # torch is imported only when there is something to do

        runs.train(settings)
    except (UserError, RunFailure, OSError) as error:
        if not sweeping:
            _stop(error, role)
        _failures.append(describe(error, role))
        print(f"error: {_failures[-1]}", file=sys.stderr)
    except Interrupted as stop:
        # Not an Exception that Hydra would report as the job's: leave at once.
        _exit(128 + stop.signal_number, "interrupted; the same command goes on from here")


def _stop(error: Exception, role: str) -> None:
    _exit(2 if isinstance(error, UserError) else 1, describe(error, role))


def _exit(status: int, line: str) -> None:
    print(f"error: {line}" if status in (1, 2) else line, file=sys.stderr)
    raise SystemExit(status)


def describe(error: BaseException, role: str = "classifier") -> str:
    """One line for an error that is no bug: what was asked, what was found, what to type."""
    if isinstance(error, UserError | RunFailure):
        return " ".join(str(error).split())
    if isinstance(error, MissingConfigException):
        return _describe_missing(error)
    text = " ".join(str(error).split())
    # Both libraries append where in the tree they were; what a user needs comes first.
    text = re.split(r" full_key: | object_type=| See https?://", text)[0].rstrip(". ")
    unknown = re.search(r"[Kk]ey '([^']+)'", text) or re.search(r"Could not override '([^']+)'", text)
    if unknown and ("not in" in text or "Could not override" in text):
        overridden = re.search(r"Could not override '([^']+)'", text)
        key = (overridden or unknown).group(1)
        place = re.match(r"In '([^']+)'", text)
        where = f" in conf/{place.group(1)}.yaml" if place else ""
        return f"unknown key {key}{where}{_suggest_key(key, role)}"
    return text or type(error).__name__


def _describe_missing(error: MissingConfigException) -> str:
    text = str(error)
    asked = error.missing_cfg_file
    options = list(error.options or [])
    group, _, name = str(asked).rpartition("/")
    if not options:
        return " ".join(text.split())
    nested = (
        [
            str(path.relative_to(configuration.CONFIG_DIR / group).with_suffix(""))
            for path in sorted((configuration.CONFIG_DIR / group).rglob("*.yaml"))
        ]
        if group
        else options
    )
    return f"{group}={name}: no such option{did_you_mean(name, nested)}; there are {', '.join(nested)}"


def _suggest_key(key: str, role: str) -> str:
    """Close keys of the tree as it stands without the user's overrides, with the full path where only the last part
    was given (`lrr` -> optimizer.lr)."""
    with_generator = ["+dataset=cifair10", "+experiment=chimeramix_segmentation"]
    values = configuration.compose_settings(role, with_generator).values
    keys = list(_flatten(values))
    if close := did_you_mean(key, keys):
        return close
    leaves = {path.rsplit(".", 1)[-1]: path for path in reversed(keys)}
    close = did_you_mean(key.rsplit(".", 1)[-1], leaves)
    if close:
        leaf = close.removeprefix("; did you mean ").removesuffix("?")
        return f"; did you mean {leaves[leaf]}?"
    return ""


def _flatten(values: dict[str, object], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        if not key.startswith("_"):
            keys.append(prefix + key)
        if isinstance(value, dict):
            keys += _flatten(value, f"{prefix}{key}.")
    return keys
