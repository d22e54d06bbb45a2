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
    """Raises `UserError` for a file that is gone or damaged."""
    path = folder / "split.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        drawn = Drawn(
            [int(position) for position in content["indices"]],
            [int(label) for label in content["labels"]],
            [str(name) for name in content["classes"]],
            [int(position) for position in content.get("held_out") or []],
        )
        if not drawn.indices or len(drawn.indices) != len(drawn.labels):
            raise ValueError("indices and labels differ in number")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is gone or damaged: which images the run had is not known; train it again") from error
    return drawn
