"""What all data sources share: their settings, and parts that lie in memory as one tensor."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from chimeramix.data.image_file import Reading
from chimeramix.data.resize import resize

_LONGEST_NAME = 100


class Source:
    """The settings that every data source takes.

    Args:
        name: Name of the data set, for messages and run folders; at most 100 characters, without slashes.
        image_size: Side S of the square images that are handed out, at least 1.
        mean: Three channel means, on the scale on which pixels are 0..1; used after augmentation.
        std: Three channel standard deviations, above 0, on the same scale.
        data_dir: Folder for downloads.
        mirror: Replaces the address in front of an archive's file name: an http(s) or file URL, or a folder.
        workers: Threads for decoding image files; 0 decodes in the calling thread.
        needs_test: Whether the test part will be read; without, it may be missing.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        name: str,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        data_dir: str = "data",
        mirror: str | None = None,
        workers: int = 4,
        needs_test: bool = True,
    ) -> None:
        if name.startswith(".") or set(name) & set("/\\") or len(name) > _LONGEST_NAME:
            raise ValueError(
                f"dataset.name={name}: must be at most {_LONGEST_NAME} characters, without slashes and without a dot "
                "in front: folders are named after it"
            )
        if image_size < 1:
            raise ValueError(f"dataset.image_size must be at least 1, got {image_size}")
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f"dataset.mean and dataset.std need three numbers each, got {list(mean)} and {list(std)}")
        if min(std) <= 0:
            raise ValueError(f"dataset.std must be above 0, got {list(std)}")
        if workers < 0:
            raise ValueError(f"machine.workers must be at least 0, got {workers}")
        self.name = name
        self.image_size = image_size
        self.mean: Sequence[float] = tuple(float(value) for value in mean)
        self.std: Sequence[float] = tuple(float(value) for value in std)
        self.data_dir = Path(data_dir).expanduser()
        self.mirror = mirror
        self.workers = workers
        self.needs_test = needs_test

    test_only: ClassVar[bool] = False
    """Whether there is no training part; `train` and `facts`, which every training asks for, then say so."""

    def class_sizes(self) -> Sequence[int] | None:
        """Number of training images of each class; None where only reading or downloading the data would tell."""
        return None


class ImagesInMemory:
    """One part of a data set that is small enough to lie in memory at its native size (see `LabelledImages`).

    Args:
        classes: Names of the K classes.
        labels: `[N]` int64.
        images: `[N, 3, h, w]` uint8.
        image_size: S; images are resized when read, so that only those asked for cost time and memory.
    """

    def __init__(self, classes: Sequence[str], labels: Tensor, images: Tensor, image_size: int) -> None:
        if len(labels) != len(images):
            raise ValueError(f"{len(labels)} labels for {len(images)} images")
        self.classes = tuple(classes)
        self.labels = labels
        self._images = images
        self._image_size = image_size

    def read(self, indices: Sequence[int]) -> Tensor:
        """`[n, 3, S, S]` uint8: the images at `indices`, in that order."""
        return resize(self._images[torch.as_tensor(indices, dtype=torch.int64)], self._image_size)

    def read_as(self, reading: Reading, indices: Sequence[int]) -> Tensor:
        """The same images from their native size, as another data set reads its own: `[n, 3, S, S]` uint8 of its S."""
        return reading.squares(self._images[torch.as_tensor(indices, dtype=torch.int64)])
