"""Generators of every kind that were trained for a second or two."""

from pathlib import Path

from tests.runs.tiny import run

WORDS = {
    "grid": ("chimeramix_grid", []),
    "official": ("chimeramix_grid", ["generator.image_size=64", "mixer.resize=official"]),
    "segments": ("chimeramix_segmentation", []),
    "three": ("chimeramix_grid", ["mask.images=3", "max_labels_per_class=3", "generator.epoch_labels_per_class=3"]),
    "glico": ("glico", ["generator.epochs=2", "generator.epoch_labels_per_class=4"]),
    "supermix": (
        "supermix",
        [
            "generator.epochs=1",
            "generator.pool_epochs=1",
            "generator.epoch_labels_per_class=4",
            "generator.teacher.width=1",
            "generator.tolerance=0.9",
            "generator.iterations=2",
        ],
    ),
}


class Generators(dict[str, Path]):
    """Run folders by a short name, each trained when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, name: str) -> Path:
        experiment, words = WORDS[name]
        whole = "dataset.image_size=32"  # what is composed has the generator's own size
        self[name] = run("generator", self._folder / name, whole, *words, experiment=experiment)
        return self[name]
