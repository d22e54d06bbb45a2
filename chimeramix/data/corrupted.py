"""CIFAR-10-C and CIFAR-100-C (Hendrycks & Dietterich 2019): CIFAR's test images under 19 corruptions of 5 severities.

Benchmarks of robustness: nothing is trained on them. The usual mean is over 15 corruptions in four groups; the four
others were meant for validation. A file per corruption holds the 10,000 test images in CIFAR's order at severity 1,
then at severity 2, and so on.

They are CIFAR's test images, not ciFAIR's: `duplicates` tells which of them ciFAIR replaced, because a near-duplicate
is in the training part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chimeramix.data.cifar import CIFAR10, CIFAR100, CiFAIR10, CiFAIR100
from chimeramix.data.download import Release, fetch
from chimeramix.data.image_file import Reading
from chimeramix.data.resize import resize
from chimeramix.data.source import Source
from chimeramix.errors import UserError

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""The 15 corruptions of the usual mean."""
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
CORRUPTIONS = (*(name for group in GROUPS.values() for name in group), *EXTRA)
SEVERITIES = 5

# The archives name no classes: these are those of CIFAR's own, in the order of the labels.
_TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
_HUNDRED = tuple(_NAMES.split())


class CorruptedImages:
    """The test images under all corruptions (see `LabelledImages`); pixels stay on the disk until they are read.

    Args:
        classes: names of the K classes.
        labels: `[5 M]` int64, of M test images at each severity.
        files: of `CORRUPTIONS`, in that order.
        image_size: S.
    """

    def __init__(self, classes: Sequence[str], labels: Tensor, files: Sequence[Path], image_size: int) -> None:
        self.classes = tuple(classes)
        self.labels = labels.repeat(len(files))
        self._files = files
        self._in_a_file = len(labels)
        self._image_size = image_size

    @property
    def count(self) -> int:
        """M."""
        return self._in_a_file // SEVERITIES

    def positions(self, corruption: str, severity: int) -> range:
        """Of the M images under one of `CORRUPTIONS`, at a severity from 1 to 5."""
        start = CORRUPTIONS.index(corruption) * self._in_a_file + (severity - 1) * self.count
        return range(start, start + self.count)

    def read(self, indices: Sequence[int]) -> Tensor:
        """`[n, 3, S, S]` uint8: the images at `indices`, in that order. Raises `UserError` for a damaged file."""
        return resize(self._native(indices), self._image_size)

    def read_as(self, reading: Reading, indices: Sequence[int]) -> Tensor:
        """The same images as another data set reads its own: `[n, 3, S, S]` uint8 of its S."""
        return reading.squares(self._native(indices))

    def _native(self, indices: Sequence[int]) -> Tensor:
        index = np.asarray(indices, dtype=np.int64)
        files, rows = index // self._in_a_file, index % self._in_a_file
        pixels = np.empty((len(index), 32, 32, 3), dtype=np.uint8)
        for number in np.unique(files):
            here = files == number
            pixels[here] = self._opened(self._files[number])[rows[here]]
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def _opened(self, path: Path) -> NDArray[np.uint8]:
        """A file's pixels, of which only those that are asked for come into memory."""
        found = _load(path, mmap_mode="r")
        if found.dtype != np.uint8 or found.shape != (self._in_a_file, 32, 32, 3):
            raise _damaged(path, f"{found.dtype} {list(found.shape)}")
        return found


class CIFAR10C(Source):
    """CIFAR-10-C: 10 classes, 950,000 test images of 32 x 32 pixels (arguments: see `Source`).

    Attributes:
        option: of the configuration's group `dataset`, for messages.
        url, md5: of the archive.
        classes: in the order of the labels.
        clean: the data set whose test part was corrupted.
        fair: the same with other images in place of near-duplicates of training images.
        replaced: the share of these, for messages (Barz & Denzler 2020).
    """

    test_only: ClassVar[bool] = True
    option: ClassVar[str] = "corrupted/cifar10"
    url: ClassVar[str] = "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar"
    md5: ClassVar[str] = "56bf5dcef84df0e2308c6dcbcbbd8499"
    classes: ClassVar[tuple[str, ...]] = _TEN
    clean: ClassVar[type[CIFAR10]] = CIFAR10
    fair: ClassVar[type[CIFAR10]] = CiFAIR10
    replaced: ClassVar[str] = "3.25 %"
    _prepared = False

    @property
    def folder(self) -> Path:
        """Where the archive's files are."""
        return self.data_dir / self.url.rsplit("/", 1)[-1].removesuffix(".tar")

    def prepare(self) -> None:
        """Fetches, checks and extracts what is missing; raises `UserError` where that can't be done.

        No checksums of the files are published with the archive; they count once it was extracted to the end.
        """
        if not self._prepared:
            files = tuple((f"{self.folder.name}/{name}.npy", None) for name in (*CORRUPTIONS, "labels"))
            fetch(Release(self.name, self.url, self.md5, files, (self.folder.name,)), self.data_dir, self.mirror)
            self._prepared = True

    def facts(self) -> dict[str, Any]:
        """Raises `UserError`: no run has such images."""
        raise self._refusal()

    def train(self) -> CorruptedImages:
        """Raises `UserError`."""
        raise self._refusal()

    def test(self) -> CorruptedImages:
        """All images of all corruptions; prepares the data on first use."""
        self.prepare()
        path = self.folder / "labels.npy"
        labels = _load(path)
        whole = labels.ndim == 1 and len(labels) > 0 and len(labels) % SEVERITIES == 0 and labels.dtype.kind in "iu"
        if not whole or labels.min() < 0 or labels.max() >= len(self.classes):
            raise _damaged(path, f"{labels.dtype} {list(labels.shape)}")
        files = [self.folder / f"{name}.npy" for name in CORRUPTIONS]
        return CorruptedImages(self.classes, torch.from_numpy(labels.astype(np.int64)), files, self.image_size)

    def duplicates(self) -> list[int]:
        """Positions among the M test images of those that have a near-duplicate in the training part: those whose
        pixels differ between CIFAR and ciFAIR, both of which are prepared on first use.

        Raises:
            UserError: where the corrupted images are not in CIFAR's order.
            RunFailure: where one of them can't be fetched.
        """
        made = [
            kind(kind.__name__.lower(), 32, self.mean, self.std, str(self.data_dir), self.mirror, self.workers)
            for kind in (self.clean, self.fair)
        ]
        clean, fair = (source.test() for source in made)
        test = self.test()
        labels = test.labels[: test.count]
        if not (labels.equal(clean.labels) and labels.equal(fair.labels)):
            raise UserError(f"{self.folder / 'labels.npy'} has not the labels of CIFAR's test part: remove it")
        everything = range(test.count)
        differ = (clean.read(everything) != fair.read(everything)).flatten(1).any(1)
        positions: list[int] = differ.nonzero().flatten().tolist()
        return positions

    def _refusal(self) -> UserError:
        return UserError(
            f"dataset.name={self.name}: has test images only, nothing can be trained on it; train on another data set, "
            f"then type chimeramix evaluate RUN +dataset={self.option}"
        )


class CIFAR100C(CIFAR10C):
    """CIFAR-100-C: 100 classes, 950,000 test images of 32 x 32 pixels (arguments: see `Source`)."""

    option: ClassVar[str] = "corrupted/cifar100"
    url: ClassVar[str] = "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar"
    md5: ClassVar[str] = "11f0ed0f1191edbf9fa23466ae6021d3"
    classes: ClassVar[tuple[str, ...]] = _HUNDRED
    clean: ClassVar[type[CIFAR10]] = CIFAR100
    fair: ClassVar[type[CIFAR10]] = CiFAIR100
    replaced: ClassVar[str] = "10 %"


def _load(path: Path, **options: Any) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False, **options)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    return found


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not the published file ({reason}): remove it, so that it is extracted again")
