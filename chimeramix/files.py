"""Files that are whole or absent: written beside their place, then moved there in one step."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from chimeramix.errors import RunFailure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_atomically(
    path: Path, write: Callable[[Path], object], *, durable: bool = True, writers: Literal["one", "many"] = "one"
) -> None:
    """Calls `write` with a temporary path in the same folder and moves the result to `path`.

    A reader sees the old file or the new one, also after a kill; after an error the old one stands and nothing else is
    left.

    Args:
        durable: whether that holds after a power cut, too, which costs a synchronisation with the disk.
        writers: `many` where several processes may write the file at the same time; a kill can then leave a temporary
            file of a name of its own.

    Raises:
        RunFailure: where the disk is full or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}{uuid.uuid4().hex if writers == 'many' else ''}.tmp")
    try:
        write(temporary)
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)):
            raise write_failure(path, error) from error
        raise


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """Gives a path of the same name in a temporary folder beside `path`; the file or folder that the block makes there
    replaces what stands at `path`, once the block has ended without an error. After an error nothing is left of it.

    Raises:
        RunFailure: where the disk is full or the folder can't be written.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            made = Path(folder, path.name)
            yield made
            for file in [made] if made.is_file() else made.rglob("*"):
                with file.open("rb") as content:
                    os.fsync(content.fileno())
            if path.is_dir():  # which nothing replaces in one step
                os.replace(path, Path(folder, "replaced"))
            os.replace(made, path)
    except OSError as error:
        raise write_failure(path, error) from error


def write_failure(path: Path, error: Exception) -> RunFailure:
    """The failure to raise where a file of a run can't be written."""
    # torch.save puts an error of its own on top of the file's.
    reason = error.__context__ if isinstance(error.__context__, OSError) else error
    return RunFailure(f"{path} could not be written ({reason}); mend that, then repeat the command to go on")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    text = json_text(value, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable=durable)


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that can be written as UTF-8: of file names that are no UTF-8, the other bytes are escaped. Python's `json`
    reads them back as paths that it can open."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Saves a figure as PNG and as SVG, each whole or not at all: the same bytes for the same figure, text as text.

    Args:
        stem: the files' path without suffix.

    Raises:
        RunFailure: where they can't be written.
    """
    import matplotlib

    files = []
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chimeramix"}):
        for kind, metadata in (("png", None), ("svg", {"Date": None})):
            files.append(stem.with_name(f"{stem.name}.{kind}"))
            save = partial(figure.savefig, format=kind, dpi=150, metadata=metadata)
            write_atomically(files[-1], save, durable=False)
    return files


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file with an object in each line, such as `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
