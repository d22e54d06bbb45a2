"""Handwritten digits for trying things out: nothing to download, minutes on a CPU.

1,797 grey images of 8 x 8 pixels with values 0..16, in `digits.npz` (written by tools/make_digits.py): the test part of
"Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0, as distributed with scikit-learn. Changed here: stored as uint8.

The split is ours: the first 797 images are for training, the last 1,000 for the test. The images are ordered by writer,
so that, to first order, the test is on writers that training hasn't seen.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from chimeramix.data.source import ImagesInMemory, Source

NUM_TRAIN = 797
MAX_VALUE = 16


class Digits(Source):
    """The ten digits as three equal channels (arguments: see `Source`; folder, mirror and workers have no effect)."""

    def prepare(self) -> None:
        """Nothing to do: the images are part of the package."""

    def facts(self) -> dict[str, Any]:
        """Empty: the images are fixed."""
        return {}

    def class_sizes(self) -> list[int]:
        """79 to 81."""
        sizes: list[int] = self.train().labels.bincount().tolist()
        return sizes

    def train(self) -> ImagesInMemory:
        """797 images."""
        return self._part(slice(0, NUM_TRAIN))

    def test(self) -> ImagesInMemory:
        """1,000 images."""
        return self._part(slice(NUM_TRAIN, None))

    def _part(self, part: slice) -> ImagesInMemory:
        with np.load(Path(__file__).with_name("digits.npz")) as stored:
            values, labels = stored["images"][part], stored["labels"][part]
        grey = np.rint(values * (255 / MAX_VALUE)).astype(np.uint8)
        images = torch.from_numpy(np.repeat(grey[:, None], 3, axis=1))
        classes = [str(digit) for digit in range(10)]
        return ImagesInMemory(classes, torch.from_numpy(labels.astype(np.int64)), images, self.image_size)
