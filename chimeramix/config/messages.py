"""Hydra's and OmegaConf's errors in one line for the user: key or file, value, remedy.

Both libraries say what they need in several lines, of which some are about their own insides; the tests hold the
wording of the release that is installed.
"""

import dataclasses
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chimeramix.config.checks import did_you_mean
from chimeramix.config.schema import Config

# What OmegaConf says of a value that does not fit, and what to say instead.
_REMEDIES = (
    ("could not be converted to Integer", "must be a whole number"),
    ("could not be converted to Float", "must be a number"),
    ("is not a valid bool", "must be true or false"),
    ("is not Optional", "must not be null"),
    ("does not support deletion", "this key can't be removed"),
    ("is not a ListConfig", "must be a list, such as [a,b]"),
    ("Invalid type assigned", "is a group of keys: set those, one by one"),
)


class CompositionError:
    """What went wrong while a configuration was composed.

    Args:
        error: as Hydra, OmegaConf or the YAML parser raised it.
        folders: with the options of the config groups.

    Attributes:
        line: tells it.
        unknown_key: the path of a key that does not exist, else None; `line` has no suggestion then.
    """

    def __init__(self, error: BaseException, folders: Sequence[Path]) -> None:
        self._text = " ".join(str(error).split())
        self._cause = " ".join(str(error.__cause__ or error).split())
        self.unknown_key: str | None = None
        asked = getattr(error, "missing_cfg_file", None)
        if isinstance(asked, str):
            self.line = _describe_missing(asked, getattr(error, "options", None) or [], folders)
        else:
            self.line = self._describe(folders)
            if isinstance(error, UnicodeDecodeError) and (binary := _first_unreadable(folders)):
                self.line = f"{binary}: not a text file in UTF-8, as options are: replace or remove it"

    def _describe(self, folders: Sequence[Path]) -> str:
        if ambiguous := self._find(r"Ambiguous value for argument '([^']+)'"):
            name, _, values = ambiguous.partition("=")
            return (
                f"{ambiguous}: several values; add --multirun to sweep over them, or write a list: {name}=[{values}], "
                f"or a text: {quoted(ambiguous)}"
            )
        if several := self._find(r"Sweep parameters '([^']+)' requires --multirun"):
            return f"{several}: several values; add --multirun to sweep over a list, or search with chimeramix tune"
        if self._text.startswith("while "):
            return f"not valid YAML: {self._text}"
        file = self._find(r"In '([^']+)'")
        where = f"{file}.yaml: " if file else ""
        option = re.fullmatch(r"(dataset|experiment)/.+", file or "")
        if option and re.search(rf"(Key '|Could not override '[^']*@){option[1]}\b", self._text):
            return f"{where}its first line must be: # @package _global_"
        if key := self._find(r"Could not override '([^']+)'\. No match in the defaults list"):
            groups = [path.name for folder in folders for path in folder.iterdir() if path.is_dir()]
            return f"{where}there is no config group {key}{did_you_mean(key, groups)}"
        if key := self._find(r"Could not override '([^']+)'"):
            self.unknown_key = key
        elif "not in" in self._text and self._find(r"Key '([^']+)'"):
            self.unknown_key = self._find(r" full_key: (\S+)") or self._find(r"Key '([^']+)'")
        if self.unknown_key:
            return f"{where}unknown key {self.unknown_key}"
        subject = self._find(r"Error merging override (.*)") or self._find(r" full_key: (\S+)")
        for symptom, remedy in _REMEDIES:
            if symptom in self._cause and subject:
                value = self._find(r"Value '([^']*)'") if file else None
                return f"{where}{subject}{'' if value is None else f'={value}'}: {remedy}{_or_null(subject)}"
        return re.split(r" full_key: | object_type=| See https?://", self._text)[0].rstrip(". ")

    def _find(self, pattern: str) -> str | None:
        found = re.search(pattern, self._text)
        return found.group(1) if found else None


def quoted(word: str) -> str:
    """KEY=VALUE as a shell takes it where the value is a text with signs that mean something to Hydra."""
    key, _, value = word.partition("=")
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{text}"')


def _or_null(subject: str) -> str:
    stands_for = {field.name: field.metadata.get("null") for field in dataclasses.fields(Config)}
    meaning = stands_for.get(subject.partition("=")[0])
    return f", or null for {meaning}" if meaning else ""


def _first_unreadable(folders: Sequence[Path]) -> Path | None:
    for path in (path for folder in folders for path in sorted(folder.rglob("*.yaml"))):
        try:
            path.read_text(encoding="utf-8")
        except ValueError:
            return path
    return None


def options_of(group: str, folders: Sequence[Path]) -> list[str]:
    """The options of a config group as the user writes them, sub-folders included; none for what is no group."""
    if not re.fullmatch(r"\w+(/\w+)*", group):
        return []
    found = {
        path.relative_to(folder / group).with_suffix("").as_posix()
        for folder in folders
        for path in (folder / group).rglob("*.yaml")
    }
    return sorted(found)


def in_short(options: Sequence[str], most: int = 6) -> str:
    """A list of options, with one entry for all of a sub-folder that holds more than `most`: `small/* (17)`."""
    folders = [name.rpartition("/")[0] for name in options]
    count = Counter(folders)
    entries = [
        f"{folder}/* ({count[folder]})" if folder and count[folder] > most else name
        for name, folder in zip(options, folders, strict=True)
    ]
    return ", ".join(dict.fromkeys(entries))


def _describe_missing(asked: str, options: Sequence[str], folders: Sequence[Path]) -> str:
    """`asked` is a path below the configuration folder, such as `dataset/demo/digit`."""
    parts = asked.split("/")
    depth = 2 if parts[0] == "hydra" else 1
    group, name = "/".join(parts[:depth]), "/".join(parts[depth:])
    options = options_of(group, folders) if depth == 1 else options
    available = f"; there are {in_short(options)}" if options else ""
    suggestion = did_you_mean(name, options)
    return f"{group}={name}: no such option{available}{suggestion}"
