"""The user's own images: `ROOT/train/CLASS/*` and `ROOT/test/CLASS/*`, of any size and usual kind.

A file in those folders that can't be used is an error that names it. It is never skipped silently: a missing image
would change the results unnoticed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from chimeramix.data.file_digests import file_digests
from chimeramix.data.image_file import Reading, Resize, check_resize, read_whole, size_of
from chimeramix.data.source import Source
from chimeramix.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
CLUTTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}  # left by desktops; and hidden files
Listing = dict[str, list[Path]]  # class name -> image files, both in order
Item = TypeVar("Item")
Made = TypeVar("Made")


class ImageFolder(Source):
    """A folder of images, one sub-folder per class (other arguments: see `Source`).

    Classes are numbered in the order of their names, images within a class likewise. Folders are listed on first use,
    files are decoded when read.

    Args:
        root: The folder that holds `train` and `test`.
        resize: `crop` scales the shorter side and cuts out the centre, `squash` scales both sides.
        resize_to: to which sides are scaled; of more than `image_size` the centre is cut out. None for `image_size`.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        root: str | None,
        name: str,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        resize: Resize = "crop",
        data_dir: str = "data",
        mirror: str | None = None,
        workers: int = 4,
        needs_test: bool = True,
        resize_to: int | None = None,
    ) -> None:
        super().__init__(name, image_size, mean, std, data_dir, mirror, workers, needs_test)
        check_resize(resize, image_size, resize_to)
        self.root = root
        self.resize: Resize = resize
        self.resize_to = resize_to

    def prepare(self) -> None:
        """Lists both parts without decoding anything.

        Raises:
            UserError: A folder is missing or empty, classes differ between the parts, or a file isn't an image.
        """
        _ = self._parts

    def facts(self) -> dict[str, Any]:
        """Classes, numbers of images, a fingerprint of all relative paths and file sizes, and one of the content.

        They identify the images and not their place: a copy of the folder has the same ones. Files are read once; their
        digests are kept in `data_dir/digests`.
        """
        digest, content = hashlib.sha256(), hashlib.sha256()
        root, train, test = self._parts
        paths = [path for part in (train, test) for members in part.values() for path in members]
        files = sorted((path.relative_to(root).as_posix(), path) for path in paths)
        digests = file_digests([path for _, path in files], self.data_dir / "digests", self.workers)
        for (relative, _), (size, file_digest) in zip(files, digests, strict=True):
            name = relative.encode(errors="surrogateescape")  # names that aren't valid UTF-8 exist on Linux
            digest.update(name + b"\0%d\n" % size)
            content.update(name + b"\0" + file_digest.encode() + b"\n")
        return {
            "classes": list(train),
            "num_train": sum(map(len, train.values())),
            **({"num_test": sum(map(len, test.values()))} if self.needs_test else {}),
            "fingerprint": digest.hexdigest(),
            "content": content.hexdigest(),
        }

    def class_sizes(self) -> list[int]:
        """By the listing; nothing is decoded."""
        return [len(members) for members in self._parts[1].values()]

    def train(self) -> "FolderImages":
        """The images below `ROOT/train`."""
        return FolderImages(self._parts[1], self.image_size, self.resize, self.workers, self.resize_to)

    def test(self) -> "FolderImages":
        """The images below `ROOT/test`."""
        return FolderImages(self._parts[2], self.image_size, self.resize, self.workers, self.resize_to)

    @cached_property
    def _parts(self) -> tuple[Path, Listing, Listing]:
        """Root, training and test files; listed once, so that labels, facts and pixels agree."""
        if self.root is None:
            raise UserError("dataset.root is not set: add dataset.root=DIR, a folder with train/CLASS and test/CLASS")
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise UserError(f"dataset.root={self.root} is not a folder: set dataset.root=DIR to an existing folder")
        train = list_classes(root / "train")
        test = list_classes(root / "test") if self.needs_test else {name: [] for name in train}
        for part, other, missing in (("train", "test", train.keys() - test), ("test", "train", test.keys() - train)):
            if missing:
                names = ", ".join(sorted(missing))
                raise UserError(f"{root / part} has classes that {root / other} lacks: {names}; add or remove them")
        if len(train) < 2:
            raise UserError(f"{root / 'train'} has a single class, {next(iter(train))}: a classifier needs two or more")
        return root, train, test


class FolderImages:
    """One part of an image folder (see `LabelledImages`): labels by folder names, pixels decoded when read.

    Args:
        listing: Files of each class.
        image_size: S.
        resize: `crop` or `squash`.
        workers: Threads for decoding; 0 decodes in the calling thread.
        resize_to: see `Reading`.
        rectangles: whether images may be no squares.
    """

    def __init__(
        self,
        listing: Listing,
        image_size: int,
        resize: Resize,
        workers: int,
        resize_to: int | None = None,
        rectangles: bool = True,
    ) -> None:
        self.classes = tuple(listing)
        self.labels = torch.tensor([label for label, paths in enumerate(listing.values()) for _ in paths])
        self._paths = [path for paths in listing.values() for path in paths]
        self._names = [f"{name}/{path.name}" for name, paths in listing.items() for path in paths]
        self._reading = Reading(image_size, resize, resize_to)
        self._workers = workers
        self.rectangles = rectangles

    def name_of(self, index: int) -> str:
        """`CLASS/FILE` of the image at this position."""
        return self._names[index]

    def read(self, indices: Sequence[int]) -> Tensor:
        """`[n, 3, S, S]` uint8: the images at `indices`, in that order; no other file is opened.

        Raises:
            UserError: A file can't be decoded.
        """
        return self.read_as(self._reading, indices)

    def read_as(self, reading: Reading, indices: Sequence[int]) -> Tensor:
        """The same images, each file as another data set reads its own: `[n, 3, S, S]` uint8 of its S.

        Raises:
            UserError: A file can't be decoded.
        """
        images = torch.empty((len(indices), 3, reading.size, reading.size), dtype=torch.uint8)
        for position, image in enumerate(self._in_threads(lambda index: reading(self._paths[index]), indices)):
            images[position] = image
        return images

    def whole_sizes(self, indices: Sequence[int], longest: int) -> Tensor:
        """`[n, 2]` int64: heights and widths of whole images of at most `longest` pixels a side; none is decoded.

        Raises:
            UserError: A file isn't an image.
        """
        sizes = self._in_threads(lambda index: size_of(self._paths[index], longest), indices)
        return torch.tensor(list(sizes), dtype=torch.int64).reshape(-1, 2)

    def read_whole(self, indices: Sequence[int], sizes: Tensor) -> Tensor:
        """`[n, 3, H, W]` uint8, each image in the upper left corner and 0 beside it; H and W are the largest sizes.

        Args:
            sizes: of these images, as `whole_sizes` gives them.

        Raises:
            UserError: A file can't be decoded.
        """
        images = np.zeros((len(indices), 3, *sizes.amax(0).tolist()), dtype=np.uint8)
        pairs = [(self._paths[index], (h, w)) for index, (h, w) in zip(indices, sizes.tolist(), strict=True)]
        for picture, image in zip(images, self._in_threads(lambda pair: read_whole(*pair), pairs), strict=True):
            picture[:, : image.shape[1], : image.shape[2]] = image
        return torch.from_numpy(images)

    def _in_threads(self, work: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
        if not self._workers:
            yield from map(work, items)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            yield from pool.map(work, items)


def list_classes(part: Path) -> Listing:
    """The image files of a folder that holds one folder per class. Raises `UserError` for anything else in it."""
    if not part.is_dir():
        raise UserError(f"{part} is missing: dataset.root needs the folders train and test with one folder per class")
    listing: Listing = {}
    for folder in _entries(part):
        if not folder.is_dir():
            raise UserError(f"{folder} is not in a class folder: move it to {part}/CLASS or remove it")
        if not folder.name.isprintable():  # tables and records could not hold it
            raise UserError(f"{folder.name!r} in {part}: a class needs a printable UTF-8 name, so rename the folder")
        listing[folder.name] = _entries(folder)
        if not listing[folder.name]:
            raise UserError(f"{folder} has no images: add some or remove the folder")
        for path in listing[folder.name]:
            # A pipe or a device would never end; a link to nothing is named when its size is asked for.
            if not path.is_file() and path.exists():
                raise UserError(f"{path} is no file, but a pipe, a device or a folder: move or remove it")
            if path.suffix.lower() not in SUFFIXES:
                kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
                raise UserError(f"{path} is not an image file ({kinds}): convert, move or remove it")
    if not listing:
        raise UserError(f"{part} has no class folders: it needs one folder per class, with images")
    return listing


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, by name, without hidden files and desktop clutter."""
    try:
        found = [
            path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in CLUTTER
        ]
    except OSError as error:
        raise UserError(f"{folder} can't be listed ({error.strerror}): correct its permissions") from error
    return sorted(found, key=lambda path: path.name)
