"""Successive halving against a plain reading of its rule."""

import random

import pytest

from chimeramix.tuning.rungs import Rung, rungs_of, survivors
from chimeramix.tuning.trials import Outcome, do_generation


def test_rungs_by_epochs_are_thirds():
    assert rungs_of("epochs", 90, 3) == [Rung(10, 10, 3, 10), Rung(30, 30, 3, 10), Rung(90, None, 3, 10)]
    assert [rung.epoch for rung in rungs_of("epochs", 200, 3)] == [22, 66, None]
    assert [rung.epoch for rung in rungs_of("epochs", 2, 3)] == [1, None]
    for epochs in range(2, 300):  # each is met by an evaluation
        assert all((rung.epoch or 0) % (rung.every or 1) == 0 for rung in rungs_of("epochs", epochs, 1))
    with pytest.raises(ValueError, match="epochs=1"):
        rungs_of("epochs", 1, 3)


def test_rungs_by_folds():
    assert rungs_of("folds", 90, 5) == [Rung(1, None, 1), Rung(5, None, 5)]
    assert rungs_of("none", 90, 5) == [Rung(90, None, 5)]


def goes_on(score, place, everything, maximise):
    """Whether fewer trials than a third (rounded up) are better, by counting."""
    ahead = sum(
        (other > score if maximise else other < score) or (other == score and before < place)
        for before, other in enumerate(everything)
    )
    return 3 * ahead < len(everything)


@pytest.mark.parametrize("maximise", [True, False])
def test_survivors_by_counting(maximise):
    draw = random.Random(0)
    for _ in range(500):
        earlier = [draw.randrange(6) / 5 for _ in range(draw.randrange(10))]
        scores = [draw.randrange(6) / 5 for _ in range(draw.randrange(1, 6))]
        everything = earlier + scores
        expected = [
            place for place, score in enumerate(scores) if goes_on(score, len(earlier) + place, everything, maximise)
        ]
        assert survivors(scores, earlier, maximise) == expected


def test_a_generation_step_by_step():
    """Nine trials of which trial t scores t/10 at every rung: three go on after epoch 1, one of them after epoch 3."""
    looked: list[tuple[int | None, list[int]]] = []

    def run(trials, rung):
        looked.append((rung.epoch, sorted(trials)))
        epoch = rung.epoch or 9
        return {number: [Outcome(f"{number}", "", 0, 0, number / 10, steps=10 * epoch)] for number in trials}

    asked = [{"lr": number} for number in range(9)]
    trials = do_generation(0, asked, rungs_of("epochs", 9, 1), [], run, maximise=True)
    assert looked == [(1, list(range(9))), (3, [6, 7, 8]), (None, [8])]
    assert [trial.state for trial in trials] == ["stopped"] * 8 + ["complete"]
    assert [trial.steps for trial in trials] == [10] * 6 + [30, 30, 90]
    assert trials[7].rungs == [(1, 0.7), (3, 0.7)]
    assert [trial.score for trial in trials] == [number / 10 for number in range(9)]
    # A poor next generation is compared with them: none of it goes on.
    again = do_generation(
        9,
        [{"lr": 0}] * 3,
        rungs_of("epochs", 9, 1),
        trials,
        lambda some, rung: {number: [Outcome("", "", 0, 0, 0.05, steps=10)] for number in some},
        maximise=True,
    )
    assert [trial.state for trial in again] == ["stopped"] * 3
