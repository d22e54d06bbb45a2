"""The image files that the paths of a command name."""

import os
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from chimeramix.data.image_folder import CLUTTER, SUFFIXES
from chimeramix.errors import UserError


def find_images(words: Sequence[str]) -> list[Path]:
    """The images that paths name: files as they are, all image files below folders, and what patterns match; each once.
    Raises `UserError` for a path with none, and for a folder that can't be listed."""
    files: dict[Path, None] = {}
    for word in words:
        path = Path(word).expanduser()
        matches = [path]
        if not path.exists() and has_magic(word):
            matches = sorted(map(Path, glob(str(path), recursive=True)))
        elif not path.exists():
            raise UserError(f"{word}: no such file or folder")
        images = [image for match in matches for image in (_below(match) if match.is_dir() else [match])]
        if not images:
            kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
            raise UserError(f"{word}: no images there ({kinds})")
        files.update(dict.fromkeys(images))
    return list(files)


def _below(folder: Path) -> list[Path]:
    """Links are followed, and each folder is listed once, so that one that links to its parent ends. A link to nothing
    counts, because it can't be read; a pipe does not."""
    found: list[Path] = []
    listed: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(place)) in listed:
            folders.clear()
            continue
        listed.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        paths = [Path(place, name) for name in files if not _hidden(name)]
        found += [path for path in paths if path.suffix.lower() in SUFFIXES and (path.is_file() or not path.exists())]
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} can't be listed ({error.strerror}): correct its permissions") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER
