"""Published splits: the indices that others use."""

import numpy as np
import pytest
import torch

from chimeramix.data import GEM, Digits, STL10Folds, cifar
from chimeramix.data.source import ImagesInMemory
from chimeramix.data.subset import TrainingImages
from chimeramix.errors import UserError
from tests.data.fake_archives import HALF, publish_stl10


class SmallCIFAR(cifar.CIFAR10):
    """150 images of two classes, which take turns: class c has the positions c, c + 2, c + 4, ..."""

    def train(self) -> ImagesInMemory:
        return ImagesInMemory(["cat", "dog"], torch.arange(300) % 2, torch.zeros(300, 3, 1, 1, dtype=torch.uint8), 1)


SOURCE = SmallCIFAR("cifar", 1, HALF, HALF)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_gem_takes_the_next_fifty_of_each_class(number: int) -> None:
    """Split i: images 50 i to 50 i + 49 of each class in data set order. By hand: the j-th cat is image 2 j."""
    drawn = TrainingImages.draw(SOURCE, 50, 7, GEM(number))
    cats = list(range(100 * number, 100 * number + 100, 2))
    assert drawn.indices == cats + [cat + 1 for cat in cats]
    assert drawn.labels.tolist() == [0] * 50 + [1] * 50


def test_gem_tunes_on_the_last_twenty() -> None:
    split = GEM(1)
    drawn = TrainingImages.draw(SOURCE, 50, 0, split, split.cut)
    assert drawn.indices[:3] == [100, 102, 104]
    assert drawn.indices[29:32] == [158, 101, 103]
    assert drawn.held_out == [*range(160, 200, 2), *range(161, 200, 2)]


def test_gem_is_of_cifair() -> None:
    with pytest.raises(UserError, match="max_labels_per_class is 10 but the published split has 50 images"):
        TrainingImages.draw(SOURCE, 10, 0, GEM(0))
    with pytest.raises(UserError, match="split=gem: these splits are of cifair10 and cifair100"):
        TrainingImages.draw(Digits("digits", 16, HALF, HALF), 50, 0, GEM(0))
    with pytest.raises(ValueError, match=r"split\.number=3: must be 0 to 2"):
        GEM(3)


def folds_file(count: int = 1000) -> bytes:
    """Ten folds, of which the i-th has the positions i, i + 1, ..."""
    return "\n".join(" ".join(map(str, range(fold, fold + count))) for fold in range(10)).encode()


def test_stl10_folds_are_those_of_the_release(tmp_path) -> None:
    """Compared with torchvision's STL10(folds=i), which reads the same file."""
    store = tmp_path / "mirror"
    store.mkdir()
    source = publish_stl10(store, folds_file())("s", 96, HALF, HALF, str(tmp_path / "data"), str(store))
    torchvision_class = source._torchvision_class()
    for number in (0, 3, 9):
        chosen = STL10Folds(number).choose(source, source.train())
        theirs = torchvision_class.__new__(torchvision_class)
        theirs.root, theirs.data, theirs.labels = str(tmp_path / "data"), np.zeros((5000, 1, 1, 1)), np.arange(5000)
        theirs._STL10__load_folds(number)
        assert chosen == theirs.labels.tolist()


def test_a_damaged_folds_file_is_named(tmp_path) -> None:
    store = tmp_path / "mirror"
    store.mkdir()
    source = publish_stl10(store, folds_file(999))("s", 96, HALF, HALF, str(tmp_path / "data"), str(store))
    with pytest.raises(UserError, match=r"fold_indices\.txt is not the published file: remove it"):
        source.folds()


def test_stl10_folds_are_of_stl10() -> None:
    with pytest.raises(UserError, match="split=stl10_folds: these folds are of stl10"):
        STL10Folds(0).choose(SOURCE, SOURCE.train())
    with pytest.raises(UserError, match="STL-10's folds have no validation part"):
        STL10Folds(0).cut(SOURCE.train(), [])
    with pytest.raises(ValueError, match=r"split\.number=10: must be 0 to 9"):
        STL10Folds(10)
