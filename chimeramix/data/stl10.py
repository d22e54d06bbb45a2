"""STL-10 (Coates, Ng & Lee 2011): 10 classes, 5,000 training and 8,000 test images of 96 x 96 pixels.

Deviation: the 100,000 unlabelled images, 2.7 GB of the archive, are neither extracted nor checked: nothing reads them.
"""

from dataclasses import replace
from typing import Any, ClassVar

from chimeramix.data.download import fetch
from chimeramix.data.published import PublishedSource
from chimeramix.errors import UserError

# As in the release's class_names.txt, which has no published checksum and thus might be anything.
CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


class STL10(PublishedSource):
    """STL-10 without its unlabelled part (arguments: see `Source`)."""

    original: ClassVar[str] = "STL10"
    sizes: ClassVar[tuple[int, ...]] = (500,) * 10
    changes: ClassVar[dict[str, Any]] = {
        "train_list": [
            ["train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"],
            ["train_y.bin", "5a34089d4802c674881badbb80307741"],
        ],
    }

    def folds(self) -> list[list[int]]:
        """The ten official folds: positions in the training part of 1,000 images each, in the order of the release.

        Raises:
            UserError, RunFailure: where the file can't be had, or is damaged.
        """
        name = f"{self._torchvision_class().base_folder}/{self._torchvision_class().folds_list_file}"
        # Apart from the images, so that data sets prepared by earlier versions still serve those who need no folds.
        fetch(replace(self._release(), files=((name, None),)), self.data_dir, self.mirror)
        path = self.data_dir / name
        count = sum(self.sizes)
        try:
            folds = [[int(word) for word in line.split()] for line in path.read_text(encoding="ascii").splitlines()]
        except ValueError:
            folds = []
        whole = all(len(set(fold)) == count // 5 and set(fold) <= set(range(count)) for fold in folds)
        if len(folds) != 10 or not whole:
            raise UserError(f"{path} is not the published file: remove it, so that it is extracted again")
        return folds

    def _load(self, train: bool) -> tuple[list[str], Any, Any]:
        part = self._torchvision_class()(self.data_dir, split="train" if train else "test")
        return CLASSES, part.labels, part.data
