"""Digests of many files, each read once and then only when it has changed."""

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from chimeramix.errors import RunFailure, UserError
from chimeramix.files import write_atomically

log = logging.getLogger(__name__)

_MANY = 5000  # take seconds
_SETTLED = 2_000_000_000  # ns: a file as young as that may change once more within its time stamp's resolution


def file_digests(paths: Sequence[Path], cache: Path, workers: int) -> list[tuple[int, str]]:
    """Size and SHA-256 of each file.

    Args:
        cache: a folder, made where missing, that keeps the digests with the files' sizes and times of change (of
            content and of the file's entry: the second can't be set back). One that can't be written costs time only.
        workers: threads that read, at least one.

    Raises:
        UserError: a file can't be read, or is no plain file.
    """
    place = os.path.commonpath([path.parent.absolute() for path in paths]) if paths else ""
    kept = cache / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.json"
    known = _read(kept)
    found: dict[str, list[int | str]] = {}
    missing = []
    for path in paths:
        status = _status(path)
        key = os.path.relpath(path.absolute(), place)
        found[key] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        before = known.get(key, [])
        if found[key] == before[:3] and len(before) == 4 and isinstance(before[3], str):
            found[key] = before
        else:
            missing.append((key, path))
    if len(missing) > _MANY:
        log.info("reading %d files below %s once, for a digest of their content", len(missing), place)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for (key, _), digest in zip(missing, pool.map(_digest, (path for _, path in missing)), strict=True):
            found[key].append(digest)
    if missing:
        _write(kept, found)
    return [(int(each[0]), str(each[3])) for each in found.values()]


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): replace or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is no plain file: replace or remove it")
    return status


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): replace or remove it") from error


def _read(path: Path) -> dict[str, list[int | str]]:
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        return {key: list(value) for key, value in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, found: dict[str, list[int | str]]) -> None:
    youngest = time.time_ns() - _SETTLED
    settled = {key: value for key, value in found.items() if int(value[2]) < youngest}
    if not settled:
        return
    text = json.dumps(settled)  # ASCII: names that aren't valid UTF-8 can be written, too
    with suppress(OSError, RunFailure):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: temporary.write_text(text, "ascii"), durable=False, writers="many")
