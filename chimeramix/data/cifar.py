"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), and ciFAIR-10 and ciFAIR-100 (Barz & Denzler 2020).

ciFAIR is CIFAR whose test images with a near-duplicate in the training set (3.25 % and 10 % of them) are replaced; the
training files are CIFAR's, and so are their checksums. Source: release v1.0 of https://github.com/cvjena/cifair.
50,000 training and 10,000 test images of 32 x 32 pixels each.
"""

from typing import Any, ClassVar

import numpy as np

from chimeramix.data.published import PublishedSource


class CIFAR10(PublishedSource):
    """CIFAR-10: 10 classes (arguments: see `Source`)."""

    original: ClassVar[str] = "CIFAR10"
    sizes: ClassVar[tuple[int, ...]] = (5000,) * 10

    def _load(self, train: bool) -> tuple[list[str], Any, Any]:
        part = self._torchvision_class()(self.data_dir, train=train)
        return part.classes, part.targets, np.moveaxis(part.data, 3, 1)


class CIFAR100(CIFAR10):
    """CIFAR-100: 100 classes (arguments: see `Source`)."""

    original: ClassVar[str] = "CIFAR100"
    sizes: ClassVar[tuple[int, ...]] = (500,) * 100


class CiFAIR10(CIFAR10):
    """ciFAIR-10: 10 classes (arguments: see `Source`)."""

    changes: ClassVar[dict[str, Any]] = {
        "base_folder": "ciFAIR-10",
        "url": "https://github.com/cvjena/cifair/releases/download/v1.0/ciFAIR-10.zip",
        "tgz_md5": "ca08fd390f0839693d3fc45c4e49585f",
        "test_list": [["test_batch", "01290e6b622a1977a000eff13650aca2"]],
    }


class CiFAIR100(CIFAR100):
    """ciFAIR-100: 100 classes (arguments: see `Source`)."""

    changes: ClassVar[dict[str, Any]] = {
        "base_folder": "ciFAIR-100",
        "url": "https://github.com/cvjena/cifair/releases/download/v1.0/ciFAIR-100.zip",
        "tgz_md5": "ddc236ab4b12eeb8b20b952614861a33",
        "test_list": [["test", "8130dae8d6fc6a436437f0ebdb801df1"]],
    }
