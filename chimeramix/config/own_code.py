"""Python modules in one's own configuration folders, whose classes `_target_` may name."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from chimeramix.config.hydra_keys import split_search_path

_OPTION = "--config-dir="


def make_importable(folders: Iterable[Path]) -> None:
    """Python finds the modules of these folders from now on, before installed ones of the same name. Folders of config
    groups that lie beside them (`model/`) hide nothing: they are no packages."""
    for folder in reversed(list(folders)):
        path = str(folder.expanduser().resolve())
        if path not in sys.path:
            sys.path.insert(0, path)


def own_folders(words: Sequence[str]) -> list[Path]:
    """Those that a command names with `--config-dir` and `hydra.searchpath`, as `Tree.options` writes them; without
    those that are gone."""
    folders = [Path(word.removeprefix(_OPTION)) for word in words if word.startswith(_OPTION)]
    for word in words:
        if word.startswith("hydra.searchpath="):
            folders += split_search_path([word])[1]
    return [folder for folder in folders if folder.is_dir()]
