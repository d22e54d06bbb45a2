"""Held-out images: stratified folds, extra images, and that nothing of them reaches the training."""

from itertools import combinations

import numpy as np
import pytest
import torch

from chimeramix.data.subset import TrainingImages
from chimeramix.data.validation import Cut, Extra, Fold, folds_of
from chimeramix.errors import UserError
from tests.data.test_unlabelled import CLASSES, SOURCE, numbers


def cut(rule: Cut | None, per_class: int = 5, split_seed: int = 0) -> TrainingImages:
    return TrainingImages.draw(SOURCE, per_class, split_seed, cut=rule)


def test_folds_hold_out_each_image_once() -> None:
    drawn = cut(None)
    folds = [cut(Fold(fold, 5, seed=0)) for fold in range(5)]

    for each in folds:
        assert sorted(each.indices + each.held_out) == sorted(drawn.indices)
    for first, second in combinations(folds, 2):
        assert not set(first.held_out) & set(second.held_out)
    assert sorted(position for each in folds for position in each.held_out) == sorted(drawn.indices)


@pytest.mark.parametrize("folds", [2, 3, 4, 5])
@pytest.mark.parametrize("sizes", [[5, 5, 5], [5, 8, 6, 11]])
def test_folds_are_stratified(folds: int, sizes: list[int]) -> None:
    """As scikit-learn's: within each class, and in all, folds differ by at most one image."""
    from sklearn.model_selection import StratifiedKFold

    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    dealt = folds_of(labels, folds, seed=0)

    counts = np.array([np.bincount(labels[dealt == fold], minlength=len(sizes)) for fold in range(folds)])
    theirs = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels)
    expected = np.array([np.bincount(labels[held_out], minlength=len(sizes)) for _, held_out in theirs])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(1)) <= 1
    assert (np.sort(counts, axis=0) == np.sort(expected, axis=0)).all()


def test_another_seed_gives_other_folds() -> None:
    held_out = [tuple(sorted(cut(Fold(0, 5, seed)).held_out)) for seed in range(5)]
    assert len(set(held_out)) == 5
    assert cut(Fold(0, 5, 3)).held_out == cut(Fold(0, 5, 3)).held_out


def test_extra_images_lie_outside_of_the_subset() -> None:
    drawn, extra = cut(None), cut(Extra(3, seed=0))
    assert extra.indices == drawn.indices
    assert not set(extra.held_out) & set(drawn.indices)
    assert extra.part.labels[extra.held_out].bincount().tolist() == [3, 3, 3, 3]
    assert set(cut(Extra(2, seed=0)).held_out) < set(extra.held_out), "fewer of one seed lie within more"


def test_what_is_evaluated() -> None:
    """Pixel values are positions: held-out images, with their labels, or the test set's, from 200 on."""
    held_out = cut(Fold(0, 5, 0)).evaluation()
    assert held_out.part == "validation"
    assert held_out.images[:, 0, 0, 0].tolist() == list(held_out.positions)
    assert held_out.labels.tolist() == [position % 4 for position in held_out.positions]

    test = cut(None).evaluation()
    assert (test.part, test.images[:, 0, 0, 0].tolist()) == ("test", [200, 201, 202, 203, 204])
    assert list(test.positions) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rule", [Fold(1, 5, 0), Extra(2, 0)])
def test_images_without_labels_are_no_held_out_ones(rule: Cut) -> None:
    data = cut(rule)
    others = 40 - len(data.indices) - len(data.held_out)
    assert not set(numbers(data.unlabelled(2, others, False, "procedure"))) & {*data.indices, *data.held_out}
    with pytest.raises(UserError, match=f"only {others} training images"):
        data.unlabelled(2, others + 1, False, "procedure")


def test_transductive_means_the_held_out_images() -> None:
    """A run that validates does not see the test set without its labels either."""
    data = cut(Fold(1, 5, 0))
    assert numbers(data.unlabelled(2, 0, True, "procedure")) == data.held_out


def test_a_cut_that_holds_out_nothing_is_refused() -> None:
    """One's own split may have an empty validation part: its run must not fall back on the test set."""
    with pytest.raises(UserError, match="validation: no image is held out"):
        cut(lambda part, drawn: (drawn, []))


def test_the_record_of_the_split_names_them() -> None:
    data = cut(Fold(1, 5, 0))
    assert data.split()["held_out"] == data.held_out
    assert data.split()["held_out_labels"] == [position % 4 for position in data.held_out]
    assert "held_out" not in cut(None).split()


def test_too_few_images() -> None:
    with pytest.raises(
        UserError, match=r"validation\.folds=6: class a has 5 images .* set validation\.folds=5 or less"
    ):
        cut(Fold(0, 6, 0))
    with pytest.raises(UserError, match=r"validation\.folds=2: class a has 1 image .*: draw more images"):
        cut(Fold(0, 2, 0), per_class=1)
    with pytest.raises(UserError, match=r"extra=6: class a has only 5 training images .*: set validation\.extra=5 or"):
        cut(Extra(6, 0))
    with pytest.raises(UserError, match=r"extra=1: class a has only 0 training images .*: draw fewer images"):
        cut(Extra(1, 0), per_class=10)
    assert len(cut(Extra(5, 0)).held_out) == 5 * len(CLASSES)
