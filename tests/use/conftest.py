"""Photos of two kinds, classifiers that were trained on them for a moment, and generators of digits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chimeramix.runs.train import train
from tests.composing import composed
from tests.runs.generators import Generators
from tests.runs.tiny import folder_of

TINY = ["model=wideresnet_10_2", "model.width=1", "epochs=2", "batch_size=4", "epoch_labels_per_class=8"]


def _photo(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Stripes or spots of odd sizes, in colours that say nothing."""
    height, width = rng.integers(18, 50, 2)
    rows, columns = np.mgrid[:height, :width]
    period = rng.integers(4, 9)
    pattern = rows // period % 2 if kind == "stripes" else (rows // period + columns // period) % 2
    colours = rng.integers(0, 256, (2, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = rng.integers(-20, 21, (height, width, 3))
    Image.fromarray((colours[pattern] + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/CLASS/*` and `test/CLASS/*`: 6 and 57 photos of either class, PNG and JPEG."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 57)):
        for kind in ("spots", "stripes"):
            for number in range(count):
                _photo(root / part / kind / f"{number:02}.{'jpg' if number % 2 else 'png'}", kind, rng)
    return root


def train_on(photos: Path, runs: Path, *words: str) -> Path:
    """A classifier of these photos; returns its folder."""
    own = [f"dataset.root={photos}", "dataset.image_size=24", f"machine.runs_dir={runs}", "machine.device=cpu"]
    train(composed("classifier", ["+dataset=own/image_folder", "max_labels_per_class=5", *own, *TINY, *words]))
    return folder_of("classifier", runs)


@pytest.fixture(scope="session")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with plain weights and views."""
    return train_on(photos, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def viewed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one with averaged weights and views, in bf16, whose images are squashed and cut."""
    reading = ["dataset.resize=squash", "dataset.resize_to=28"]
    words = ["average=ema", "evaluation.views=flip_shift", "machine.precision=bf16", *reading]
    return train_on(photos, tmp_path_factory.mktemp("viewed"), *words)


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Generators:
    return Generators(tmp_path_factory.mktemp("generators"))
