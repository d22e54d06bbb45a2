"""Where the configuration is and what trains a role is called: beside the package in a checkout, in it elsewhere."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def config_dir(package: Path) -> Path:
    """The configuration that belongs to the package in this folder.

    A wheel brings its own. It is looked for first, because `conf` beside an installed package would be another's.
    """
    own = package / "conf"
    return own if own.is_dir() else package.parent / "conf"


CONFIG_DIR = config_dir(_PACKAGE)


def entry_point(role: str) -> str:
    """What trains a `generator` or a `classifier`: `train_<role>.py` in a checkout, `train-<role>` without one. Both
    `chimeramix tune` and `chimeramix status` take either name."""
    script = _script(role)
    return script.name if script.is_file() else f"train-{role}"


def entry_command(role: str) -> list[str]:
    """The words that start it, for the current directory."""
    script = _script(role)
    if not script.is_file():
        return ["chimeramix", entry_point(role)]
    here = Path.cwd()
    return ["python", str(script.relative_to(here) if script.is_relative_to(here) else script)]


def _script(role: str) -> Path:
    return CONFIG_DIR.parent / f"train_{role}.py"
