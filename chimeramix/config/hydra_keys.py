"""Which of Hydra's own keys count here, and what to use instead of the others.

Runs have folders of their own, and sweeps are planned and launched by `chimeramix.sweep`: most of `hydra.*` would be
ignored in silence.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from chimeramix.config.checks import did_you_mean
from chimeramix.config.place import entry_point
from chimeramix.errors import UserError

_COUNT = ("hydra/launcher", "hydra.launcher", "hydra.sweep.dir", "hydra.sweeper.max_batch_size", "hydra.mode")
_FOLDER = "a run's folder follows from its settings: choose where it lies with machine.runs_dir=FOLDER"
_SEARCH = (
    "give the values as lists, such as seed=0,1, with --multirun, or search with chimeramix tune "
    f"{entry_point('classifier')} 'optimizer.lr=tag(log,interval(0.001,0.1))'"
)
_LOG = "a run's log is train.log in its folder, and what it prints: remove this key"
_INSTEAD = {
    "hydra.run": _FOLDER,
    "hydra.sweep": _FOLDER,
    "hydra.output_subdir": _FOLDER,
    "hydra.job.chdir": f"a run stays in the current folder; {_FOLDER}",
    "hydra.sweeper": _SEARCH,
    "hydra/sweeper": _SEARCH,
    "hydra.verbose": _LOG,
    "hydra.job_logging": _LOG,
    "hydra.hydra_logging": _LOG,
    "hydra/job_logging": _LOG,
    "hydra/hydra_logging": _LOG,
    "hydra.callbacks": "metrics.jsonl in a run's folder has a line per epoch; wandb.mode=online shows them elsewhere",
    "hydra/callbacks": "metrics.jsonl in a run's folder has a line per epoch; wandb.mode=online shows them elsewhere",
}


def check_hydra_key(key: str, word: str) -> None:
    """Raises `UserError` for an override of Hydra's own configuration that would have no effect.

    Args:
        key: of the override, such as `hydra.run.dir`.
        word: the override as it was typed.
    """
    if key != "hydra" and not key.startswith(("hydra.", "hydra/")):
        return
    if any(_is_below(key, known) for known in _COUNT):
        return
    for known, remedy in _INSTEAD.items():
        if _is_below(key, known):
            raise UserError(f"{word}: has no effect here; {remedy}")
    counts = ", ".join([*_COUNT[:-1], "hydra.searchpath"])
    raise UserError(f"{word}: has no effect here; of Hydra's keys these have: {counts}{did_you_mean(key, _COUNT[:-1])}")


def split_search_path(overrides: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
    """The overrides without `hydra.searchpath`, and its folders. Raises `UserError` for a folder that isn't there."""
    rest, found = [], []
    for word in overrides:
        if word.lstrip("+").startswith("hydra.searchpath="):
            found += [_folder(entry, word) for entry in _entries(word)]
        else:
            rest.append(word)
    return rest, tuple(found)


def search_path_word(folders: Sequence[Path]) -> str:
    """The override that `split_search_path` reads so."""
    quoted = [str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'") for folder in folders]
    return "hydra.searchpath=[" + ",".join(f"'{path}'" for path in quoted) + "]"


def _entries(word: str) -> list[str]:
    try:
        value = OverridesParser.create().parse_overrides([word])[0].value()
    except HydraException:
        value = None
    if not isinstance(value, list):
        raise UserError(f"{word}: must be a list of folders, hydra.searchpath=[FOLDER,FOLDER]")
    return [str(entry) for entry in value]


def _folder(entry: str, word: str) -> Path:
    if entry.startswith("pkg://"):
        name = entry.removeprefix("pkg://").replace("/", ".")
        try:
            spec = find_spec(name)
        except ImportError:
            spec = None
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise UserError(f"{word}: there is no package {name}")
        return Path(places[0])
    folder = Path(entry.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        raise UserError(f"{word}: {folder} is no folder")
    return folder


def _is_below(key: str, parent: str) -> bool:
    return key == parent or key.startswith((f"{parent}.", f"{parent}/", f"{parent}@"))
