"""STL-10 (Coates, Ng & Lee 2011): 10 classes, 5,000 training and 8,000 test images of 96 x 96 pixels.

Deviation: the 100,000 unlabelled images, 2.7 GB of the archive, are neither extracted nor checked: nothing reads them.
"""

from typing import Any, ClassVar

from chimeramix.data.published import PublishedSource

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

    def _load(self, train: bool) -> tuple[list[str], Any, Any]:
        part = self._torchvision_class()(self.data_dir, split="train" if train else "test")
        return CLASSES, part.labels, part.data
