import pytest
import torch

from chimeramix.data.subset import draw_subset, epoch_repeats
from chimeramix.errors import UserError

FOUR = torch.arange(200) % 4
TEN = torch.arange(50000) % 10
ABCD = ["a", "b", "c", "d"]
DIGITS = [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("seed", "samples_per_class", "expected"),
    [
        (0, 2, [195, 117, 5, 92, 72, 58, 42, 127]),
        (0, 3, [72, 117, 155, 58, 144, 42, 92, 127, 142, 195, 157, 5]),
        (1, 2, [100, 33, 162, 147, 60, 14, 7, 181]),
    ],
)
def test_draws_what_the_official_code_draws(seed, samples_per_class, expected):
    assert draw_subset(FOUR, samples_per_class, seed, ABCD) == expected


def test_draws_what_the_official_code_draws_at_full_size():
    five = draw_subset(TEN, 5, 0, DIGITS)
    assert five[:5] == [15875, 47419, 30762, 49543, 18431]
    assert sum(five) == 1_400_905
    assert sum(draw_subset(TEN, 100, 0, DIGITS)) == 25_280_750


def test_is_balanced_and_nested():
    five, ten = (draw_subset(TEN, n, 3, DIGITS) for n in (5, 10))
    assert torch.bincount(TEN[ten]).tolist() == [10] * 10
    assert len(set(ten)) == 100
    assert set(five) < set(ten)


def test_none_takes_everything_by_the_same_rule():
    everything = draw_subset(FOUR, None, 0, ABCD)
    assert sorted(everything) == list(range(200))
    assert everything == draw_subset(FOUR, 50, 0, ABCD)


def test_none_accepts_unequal_classes():
    assert sorted(draw_subset(torch.tensor([0, 1, 1]), None, 0, ["a", "b"])) == [0, 1, 2]


def test_too_few_images_are_named():
    with pytest.raises(
        UserError, match=r"max_labels_per_class is 51 .* class a has only 50 .* max_labels_per_class=50"
    ):
        draw_subset(FOUR, 51, 0, ABCD)
    with pytest.raises(UserError, match=r"class e has only 0"):
        draw_subset(FOUR, 1, 0, [*ABCD, "e"])
    with pytest.raises(UserError, match="max_labels_per_class is 0"):
        draw_subset(FOUR, 0, 0, ABCD)


def test_labels_are_left_alone():
    labels = FOUR.clone()
    draw_subset(labels, 5, 0, ABCD)
    assert torch.equal(labels, FOUR)


@pytest.mark.parametrize(("target", "samples", "expected"), [(500, 5, 100), (500, 30, 16), (30, 20, 1), (30, 50, 1)])
def test_epoch_repeats(target, samples, expected):
    assert epoch_repeats(target, samples) == expected


def test_epoch_repeats_refuses_no_samples():
    with pytest.raises(ValueError, match="at least 1"):
        epoch_repeats(500, 0)
