"""Commands that the tests spoil, and what they look at."""

from PIL import Image

from chimeramix.config.compose import CONFIG_DIR

ROOT = CONFIG_DIR.parent

DIGITS = "+dataset=demo/digits"
GRID = (DIGITS, "+experiment=chimeramix_grid")
BASELINE = (DIGITS, "+experiment=baseline")
TINY = ("max_labels_per_class=2", "epochs=1", "epoch_labels_per_class=2", "machine.device=cpu")
TINY_GENERATOR = (
    "generator.epochs=1",
    "generator.epoch_labels_per_class=2",
    "generator.features=2",
    "generator.discriminator.features=2",
)


def tree(folder):
    """Every file below a folder with its content, and every folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def image_folder(root):
    for number, path in enumerate(f"{part}/{name}" for part in ("train", "test") for name in ("cat", "dog")):
        (root / path).mkdir(parents=True)
        for position in range(2):
            Image.new("RGB", (8, 8), (number, position, 0)).save(root / path / f"{position}.png")
    return root


class NoDataSet:
    """Takes what a data set takes, and is none."""

    def __init__(self, name: str, image_size: int, mean: list[float], std: list[float]) -> None:
        pass
