"""Pictures of runs as single pixels: to draw them takes longer than a tiny training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chimeramix.files import write_atomically
from chimeramix.runs import train
from chimeramix.training import classifier, generator, pictures

_DRAWN = ((generator, "draw_columns"), (classifier, "draw_confusion"), (train, "draw_curves"))


@contextmanager
def pictures_drawn_by(drawing: Callable[[str], Callable[..., None]]) -> Iterator[None]:
    """While it lasts, runs draw by what `drawing` gives for a function's name in `chimeramix.training.pictures`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _DRAWN:
            patch.setattr(module, name, drawing(name))
        yield


def as_they_are(name: str) -> Callable[..., None]:
    drawing: Callable[..., None] = getattr(pictures, name)
    return drawing


def single_pixels(name: str) -> Callable[..., None]:
    """Written where and as the real ones are."""

    def draw(*arguments: Any) -> None:
        (path,) = (argument for argument in arguments if isinstance(argument, Path))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: Image.new("RGB", (1, 1)).save(temporary, "PNG"))

    return draw
