"""The file that holds all that the rest of a training depends on."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from chimeramix.errors import UserError
from chimeramix.files import write_atomically


def first_line(error: Exception) -> str:
    """What an error says, cut to a length that fits into a line of ours."""
    return (str(error) or type(error).__name__).splitlines()[0][:80]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    def write(temporary: Path) -> None:
        # Python's file objects report what is wrong with the disk; torch's own do not.
        with temporary.open("wb") as file:
            torch.save(state, file)

    write_atomically(path, write)


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Reads a checkpoint of the run `identity`; raises `UserError` for a damaged one or one of another run.

    Only tensors and plain values are read (`weights_only=True`): a checkpoint can't run code. All tensors come to the
    CPU, where random streams need theirs; networks and optimisers copy what they load to their device.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch doesn't compare the checksums that it writes
            if broken := archive.testzip():
                raise ValueError(f"wrong checksum of {broken}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in any way: in zlib, pickle, unicode, indices, ...
        raise UserError(f"{path} is damaged ({first_line(error)}); start over with rerun=true") from error
    found = state.get("identity") if isinstance(state, dict) else None
    if found != identity:
        raise UserError(
            f"{path} belongs to another configuration (identity {found}, not {identity}); start over with rerun=true"
        )
    return state
