"""What a run's numbers depend on besides its identity: the machine's arithmetic, and the code that computes them.

A *stretch* is what one process trains of a run. `result.json` lists all of a run's, with the steps they went `from` and
`to`. See docs/runs.md for what is compared with what, and when.
"""

import ast
import hashlib
import importlib.util
import logging
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import chimeramix
from chimeramix.config.schema import Config
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.runs.folder import git_commit
from chimeramix.runs.spec import keys_of

log = logging.getLogger(__name__)

_PACKAGE = Path(chimeramix.__file__).parent
_NO_NUMBERS = {
    "evaluate",
    "report",
    "sweep",
    "tuning",
    "use",
    "__main__.py",
    "app.py",
    "cli.py",
    "console.py",
    "terminal.py",
}  # of a run
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_MACHINE = ("device", "threads", "compile")  # `precision` is refused


def code_of(config: Config, role: str) -> dict[str, Any]:
    """The code that a run is computed by: digests of this package and of one's own modules, and PyTorch's version."""
    return {
        "chimeramix": version("chimeramix"),
        "package": _package_digest(),
        "torch": version("torch"),
        "modules": _own_modules([getattr(config, key) for key in keys_of(role)]),
    }


def new_stretch(machine: Machine, config: Config, role: str) -> dict[str, Any]:
    """What this process computes with, as the record of its stretch has it; after `Machine.make_reproducible`."""
    return {**machine.record(), **code_of(config, role), "git_commit": git_commit()}


def stretches_in(state: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The stretches of a checkpoint; none for one of a version that recorded none."""
    done = (state or {}).get("done")
    found = done.get("stretches") if isinstance(done, dict) else None
    return found if isinstance(found, list) else []


def check_precision(path: Path, stretches: list[dict[str, Any]], precision: str) -> None:
    """Raises `UserError` where the checkpoint at `path` was computed in another precision: no figure of the run would
    belong to either."""
    for stretch in stretches:
        if stretch["precision"] != precision:
            raise UserError(
                f"machine.precision is {precision} here, and {path} was computed in {stretch['precision']}: add "
                f"machine.precision={stretch['precision']} to go on, or rerun=true to start over in {precision}"
            )


def tell_changes(before: list[dict[str, Any]], now: dict[str, Any]) -> None:
    """A loud line where a run goes on with another machine or other code than it was interrupted with."""
    if not before:
        return
    changes = [f"{key} ({before[-1].get(key)} then)" for key in _MACHINE if before[-1].get(key) != now[key]]
    changes += _changed_code(before[-1], now)
    if changes:
        log.warning(
            "changed since the run was interrupted: %s; it goes on, but its numbers are not those of an uninterrupted "
            "run; rerun=true starts over",
            ", ".join(changes),
        )


def changed_since(result: dict[str, Any], config: Config) -> str:
    """Which code has changed since a run finished, such as `own_mixers, torch (2.9.0 then)`; empty where none has, or
    none was recorded."""
    now = code_of(config, result["role"])
    changes = dict.fromkeys(change for each in result.get("stretches", []) for change in _changed_code(each, now))
    return ", ".join(changes)


def changed_model(result: dict[str, Any], config: Config) -> list[str]:
    """One's own modules that a finished classifier's model is built of, and that have changed since: its weights may
    mean something else in them."""
    stretches = result.get("stretches") or [{}]
    before = stretches[-1].get("modules") or {}
    return [name for name, digest in _own_modules([config.model]).items() if before.get(name, digest) != digest]


def _changed_code(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    if "package" not in before:
        return []
    changes = []
    if before["package"] != now["package"]:
        then = f"{before['chimeramix']} {(before.get('git_commit') or '')[:7]}".strip()
        changes.append(f"chimeramix's code ({then} then)")
    if before["torch"] != now["torch"]:
        changes.append(f"torch ({before['torch']} then)")
    own, others = before["modules"], now["modules"]
    return changes + [name for name in sorted({*own, *others}) if own.get(name) != others.get(name)]


@cache
def _package_digest() -> str:
    """Of all that numbers depend on in this package; tells more than a commit does of a changed working tree."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        relative = path.relative_to(_PACKAGE)
        if relative.parts[0] not in _NO_NUMBERS:
            digest.update(f"{relative.as_posix()}\0{_digest(path)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _own_modules(groups: list[Any]) -> dict[str, str]:
    """The modules of one's own parts in these groups, and one's own modules that these import, with digests of their
    files."""
    found: dict[str, Path] = {}
    waiting = [name.rpartition(".")[0] for name in targets_in(groups)]
    while waiting:
        name = waiting.pop()
        path = _own_file(name)
        if path is not None and path not in found.values():
            found[name] = path
            waiting += _imported(path, name if path.name == "__init__.py" else name.rpartition(".")[0])
    return {name: _digest(path) for name, path in sorted(found.items())}


def targets_in(value: Any) -> Iterator[str]:
    """All classes and functions that a group of the configuration names, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from targets_in(each)


def _imported(path: Path, package: str) -> Iterator[str]:
    """Dotted names that a file imports; what `from` takes may be a module, or stand in one."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # reported where the part is made
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*base, module]).strip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _own_file(name: str) -> Path | None:
    """The source file of a module that belongs neither to this package nor to an installed one."""
    head = name.split(".")[0]
    try:
        # Of the first part alone to begin with: for the whole name Python imports what is above it.
        found = importlib.util.find_spec(head) if head and head != "chimeramix" else None
        places = [found.origin or "", *(found.submodule_search_locations or [])] if found else []
        if not any(_is_own(Path(place)) for place in places if place):
            return None
        found = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None  # not a module: a class within one
    path = Path(found.origin) if found and found.origin else None
    return path if path is not None and path.suffix == ".py" and _is_own(path) else None


def _is_own(path: Path) -> bool:
    mine = {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return path.is_absolute() and mine and not path.is_relative_to(_STANDARD_LIBRARY)
