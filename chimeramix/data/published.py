"""Published data sets of fixed content, read with torchvision's data set classes.

torchvision knows addresses, checksums and file formats; `download` fetches the files.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from chimeramix.data.download import Release, fetch
from chimeramix.data.source import ImagesInMemory, Source


class PublishedSource(Source):
    """A data set that torchvision can read, or one in the same format (arguments: see `Source`).

    Attributes:
        original: Name of the class in `torchvision.datasets`.
        changes: Attributes of that class (address, folder, checksums) that differ here.
        sizes: Number of training images of each class.
    """

    original: ClassVar[str]
    changes: ClassVar[dict[str, Any]] = {}
    sizes: ClassVar[tuple[int, ...]]
    _prepared = False

    def prepare(self) -> None:
        """Fetches, checks and extracts what is missing; raises `UserError` where that can't be done."""
        if not self._prepared:  # checksums of a gigabyte take seconds: once for both parts
            fetch(self._release(), self.data_dir, self.mirror)
            self._prepared = True

    def facts(self) -> dict[str, Any]:
        """Empty: the name identifies the images, since only files with the published checksums are accepted."""
        return {}

    def class_sizes(self) -> tuple[int, ...]:
        """As published; nothing is downloaded."""
        return self.sizes

    def train(self) -> ImagesInMemory:
        """The published training part; prepares the data on first use."""
        self.prepare()
        return self._in_memory(*self._load(train=True))

    def test(self) -> ImagesInMemory:
        """The published test part; prepares the data on first use."""
        self.prepare()
        return self._in_memory(*self._load(train=False))

    def _load(self, train: bool) -> tuple[list[str], Any, Any]:
        """Class names, `[N]` labels and `[N, 3, h, w]` uint8 pixels of one part, as arrays or lists."""
        raise NotImplementedError

    def _in_memory(self, classes: list[str], labels: Any, pixels: Any) -> ImagesInMemory:
        images: Tensor = torch.from_numpy(pixels).contiguous()
        return ImagesInMemory(classes, torch.as_tensor(labels, dtype=torch.int64), images, self.image_size)

    def _torchvision_class(self) -> Any:
        import torchvision.datasets

        original = getattr(torchvision.datasets, self.original)
        # `prepare` has just compared every checksum; torchvision would do so again for each part.
        checked = {"_check_integrity": lambda _: True}
        return type(type(self).__name__, (original,), checked | self.changes)

    def _release(self) -> Release:
        published = self._torchvision_class()
        checksums = [*published.train_list, *(published.test_list if self.needs_test else [])]
        if hasattr(published, "meta"):
            checksums.append((published.meta["filename"], published.meta["md5"]))
        files = tuple((f"{published.base_folder}/{name}", md5) for name, md5 in checksums)
        return Release(self.name, published.url, published.tgz_md5, files)
