"""Files that are whole or absent: written beside their place, then moved there in one step."""

import json
import os
import pickle
from collections.abc import Callable
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
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        temporary.unlink(missing_ok=True)
        raise RunFailure(
            f"{path} could not be written ({error}); mend that, then repeat the command to go on"
        ) from error


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Reads a checkpoint of the run `identity`; raises `UserError` for a damaged one or one of another run.

    Only tensors and plain values are read (`weights_only=True`): a checkpoint can't run code. All tensors come to the
    CPU, where random streams want theirs; networks and optimisers copy what they load to their device.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged ({reason[:80]}); start anew with rerun=true") from error
    found = state.get("identity") if isinstance(state, dict) else None
    if found != identity:
        raise UserError(
            f"{path} belongs to another configuration (identity {found}, not {identity}); start anew with rerun=true"
        )
    return state
