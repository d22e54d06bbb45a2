"""What a run's folder says of the run; the one reader of `result.json` and `spec.json`, for all commands.

`spec.json` decides which run a folder holds. Names are for people: folders may be renamed and copied.
"""

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from chimeramix.errors import UserError
from chimeramix.runs.spec import identity_of

REMEDY = "start over with rerun=true"
PARTS = ("test", "validation")
"""What a classifier may be evaluated on; its metrics have this name in records."""

_OWN_NAME = re.compile(r".+-s\d+-([0-9a-f]{12})")  # as runs name their folders
_ENDS_WITH_IDENTITY = re.compile(r".+-([0-9a-f]{12})")
_RESULT: dict[str, tuple[type, ...]] = {
    "role": (str,),
    "dataset": (str,),
    "method": (str, NoneType),
    "augment": (str,),
    "model": (str, NoneType),
    "max_labels_per_class": (int, NoneType),
    "seed": (int,),
    "split_seed": (int,),
    "identity": (str,),
    "steps": (int,),
    "seconds": (int, float),
    "num_test": (int, NoneType),
    "test": (dict, NoneType),
}
_SHARES = ("accuracy", "top5", "macro_accuracy")


class DamagedRecord(UserError):
    """A record that can't be used.

    Args:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: object) -> None:
        self.fault = f"{path} is damaged ({reason})"
        super().__init__(f"{self.fault}; {REMEDY}")
        self.short = f"{path.name} is damaged ({reason}); {REMEDY}"


@dataclass(frozen=True)
class Record:
    """A finished run's result, and the spec that it belongs to."""

    result: dict[str, Any]
    spec: dict[str, Any]

    @property
    def precision(self) -> str:
        """In which the run was computed; see `precision_of`."""
        return precision_of(self.result)


def precision_of(result: dict[str, Any]) -> str:
    """In which a run with this result was computed, `fp32`, ...; `unknown` for runs of versions that recorded none."""
    return "+".join(sorted({each["precision"] for each in result.get("stretches", [])})) or "unknown"


@dataclass(frozen=True)
class FoundRun:
    """A folder that holds a run, finished or not.

    Attributes:
        identity: None where nothing tells it: an odd name and no whole `spec.json`.
    """

    role: str
    path: Path
    identity: str | None


def read_record(folder: Path) -> Record | None:
    """The record of a finished run, None for any other folder. Raises `DamagedRecord`."""
    result = _read(folder / "result.json")
    if result is None:
        return None
    _check_result(folder / "result.json", result)
    if folder.parent.name in ("generator", "classifier") and folder.parent.name != result["role"]:
        raise DamagedRecord(folder / "result.json", f"role: {result['role']}")
    spec = read_spec(folder)
    if spec is None:
        raise DamagedRecord(folder / "spec.json", "it is gone")
    if spec["role"] != result["role"] or identity_of(spec) != result["identity"]:
        raise DamagedRecord(folder / "result.json", f"its identity {result['identity']} is not that of spec.json")
    return Record(result, spec)


def read_spec(folder: Path) -> dict[str, Any] | None:
    """The content of `spec.json`, None where there is none. Raises `DamagedRecord`."""
    spec = _read(folder / "spec.json")
    if spec is not None and not isinstance(spec.get("role"), str):
        raise DamagedRecord(folder / "spec.json", "it has no role")
    return spec


def evaluated_part(result: Mapping[str, Any]) -> str:
    """Which of `PARTS` a classifier's result or an epoch's record has figures of; `test` where it has none."""
    return next((part for part in PARTS if result.get(part) is not None), PARTS[0])


def metrics_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of that part; empty for a generator's result, and for an epoch without an evaluation."""
    metrics = result.get(evaluated_part(result))
    return metrics if isinstance(metrics, dict) else {}


def find_runs(folder: Path) -> Iterator[FoundRun]:
    """The runs of a role's folder, `RUNS/generator` or `RUNS/classifier`, by name; none where there is no such folder.

    A name that ends as runs name their folders is believed, for the sake of thousands of them; what is read later is
    compared with the identity there. Other folders are known by `spec.json`.
    """
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                continue
            path = folder / entry.name
            identity = _identity_of_folder(path)
            if identity is not None or any((path / name).exists() for name in ("spec.json", "result.json")):
                yield FoundRun(folder.name, path, identity)


def without_copies(runs: Iterable[FoundRun]) -> tuple[list[FoundRun], list[tuple[FoundRun, FoundRun]]]:
    """Each run once, and the copies with what they are copies of: of several a finished one counts, with the shortest
    name."""
    same: dict[object, list[FoundRun]] = defaultdict(list)
    for run in runs:
        same[run.identity or run.path].append(run)
    kept, copies = [], []
    for found in same.values():
        chosen = found[0] if len(found) == 1 else min(found, key=_original_first)
        kept.append(chosen)
        copies += [(run, chosen) for run in found if run is not chosen]
    return kept, copies


def _original_first(run: FoundRun) -> tuple[bool, int]:
    """Sorts the original first: it is finished, and copies have longer names."""
    return not (run.path / "result.json").exists(), len(run.path.name)


def _identity_of_folder(path: Path) -> str | None:
    name = _OWN_NAME.fullmatch(path.name)
    if name is None:
        with suppress(DamagedRecord):
            spec = read_spec(path)
            if spec is not None:
                return identity_of(spec)
        name = _ENDS_WITH_IDENTITY.fullmatch(path.name)
    return name[1] if name else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRecord(path, error) from error
    if not isinstance(content, dict):
        raise DamagedRecord(path, "not a record")
    return content


def _check_result(path: Path, result: dict[str, Any]) -> None:
    for key, types in _RESULT.items():
        if key not in result:
            raise DamagedRecord(path, f"no {key}")
        if type(result[key]) not in types:  # not isinstance: true is no number
            raise DamagedRecord(path, f"{key}: {str(result[key])[:40]}")
    if result["role"] == "classifier":
        part, metrics = evaluated_part(result), metrics_of(result)
        for key in (*_SHARES, *(key for key in ("accuracy_median",) if key in metrics)):
            if type(metrics.get(key)) not in (int, float) or not 0 <= metrics[key] <= 1:
                raise DamagedRecord(path, f"{part}.{key}: {str(metrics.get(key))[:40]}")
        if type(result.get(f"num_{part}")) is not int:
            raise DamagedRecord(path, f"num_{part}: {str(result.get(f'num_{part}'))[:40]}")
        _check_variants(path, result.get("variants", {}))
    if not math.isfinite(result["seconds"]):
        raise DamagedRecord(path, f"seconds: {result['seconds']}")
    stretches = result.get("stretches", [])
    whole = isinstance(stretches, list) and all(isinstance(each, dict) for each in stretches)
    if not whole or not all(isinstance(each.get("precision"), str) for each in stretches):
        raise DamagedRecord(path, "stretches")
    if not isinstance(result.get("weights_sha256", ""), str):
        raise DamagedRecord(path, "weights_sha256")


def _check_variants(path: Path, variants: Any) -> None:
    whole = isinstance(variants, dict) and (not variants or "plain" in variants)
    for metrics in variants.values() if whole else ():
        whole = whole and isinstance(metrics, dict) and all(type(metrics.get(key)) in (int, float) for key in _SHARES)
    if not whole:
        raise DamagedRecord(path, "variants")
