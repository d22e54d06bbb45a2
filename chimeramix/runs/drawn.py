"""`split.json` of a run, which images it drew; the one reader of that file. It needs no torch: reports read it too."""

import json
from dataclasses import dataclass
from pathlib import Path

from chimeramix.errors import UserError


@dataclass(frozen=True)
class Drawn:
    """The images of a run.

    Attributes:
        indices: positions in the training part that the run learns from.
        labels: of these.
        classes: the names of all K classes.
        held_out: positions in the training part that the run is evaluated on; empty for a run that is tested.
    """

    indices: list[int]
    labels: list[int]
    classes: list[str]
    held_out: list[int]


def read_drawn(folder: Path) -> Drawn:
    """All of them. Raises `UserError` for a file that is gone or damaged."""
    drawn = what_is_left(folder)
    if drawn is None or not drawn.indices or len(drawn.indices) != len(drawn.labels) or not drawn.classes:
        path = folder / "split.json"
        raise UserError(f"{path} is gone or damaged: which images the run had is not known; train it again")
    return drawn


def what_is_left(folder: Path) -> Drawn | None:
    """What a file holds that may lack some of it, as empty lists; None for one that is gone or damaged."""
    try:
        content = json.loads((folder / "split.json").read_text(encoding="utf-8"))
        return Drawn(
            [int(position) for position in content.get("indices") or []],
            [int(label) for label in content.get("labels") or []],
            [str(name) for name in content.get("classes") or []],
            [int(position) for position in content.get("held_out") or []],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
