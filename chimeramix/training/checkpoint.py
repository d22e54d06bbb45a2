"""Files that are whole or absent: written beside their place, then moved there in one step."""

import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from chimeramix.errors import RunFailure, UserError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary path in the same folder and moves the result to `path`.

    A reader sees the old file or the new one, also after a kill or a power cut; after an error the old one stands and
    nothing else is left. Raises `RunFailure` where the disk is full or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise write_failure(path, error) from error


def write_failure(path: Path, error: Exception) -> RunFailure:
    """The failure to raise where a file of a run can't be written."""
    # torch.save puts an error of its own on top of the file's.
    reason = error.__context__ if isinstance(error.__context__, OSError) else error
    return RunFailure(f"{path} could not be written ({reason}); mend that, then repeat the command to go on")


def first_line(error: Exception) -> str:
    """What an error says, cut to a length that fits into a line of ours."""
    return (str(error) or type(error).__name__).splitlines()[0][:80]


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    def write(temporary: Path) -> None:
        # A file of Python's says what is wrong with the disk; torch's own doesn't.
        with temporary.open("wb") as file:
            torch.save(state, file)

    write_atomically(path, write)


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Reads a checkpoint of the run `identity`; raises `UserError` for a damaged one or one of another run.

    Only tensors and plain values are read (`weights_only=True`): a checkpoint can't run code. All tensors come to the
    CPU, where random streams want theirs; networks and optimisers copy what they load to their device.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch doesn't compare the checksums that it writes
            if broken := archive.testzip():
                raise ValueError(f"wrong checksum of {broken}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in any way: in zlib, pickle, unicode, indices, ...
        raise UserError(f"{path} is damaged ({first_line(error)}); start anew with rerun=true") from error
    found = state.get("identity") if isinstance(state, dict) else None
    if found != identity:
        raise UserError(
            f"{path} belongs to another configuration (identity {found}, not {identity}); start anew with rerun=true"
        )
    return state
