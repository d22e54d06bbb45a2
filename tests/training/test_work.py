"""No step computes more than its losses need."""

from pathlib import Path

import pytest

from benchmarks.steps import STEPS, work

# GFLOP of a bare loop that does only what the losses need, counted apart from this program.
BARE = {
    "generator": 1523,
    "generator, published decoder": 827,
    "generator, 4 images": 2669,
    "classifier, plain": 92.9,
    # 0.39 of it for the kernels: 2 x 9 for each of 10.8 million weights, and as much for the gradient.
    "classifier, harmonic": 93.3,
    "classifier, mixing": 138.8,
    # 18 different images are the 30 partners: with 12 more of 1.587 it would be 170.6.
    "classifier, mixing 4 images": 151.5,
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_does_what_its_losses_need_and_no_more(name: str, tmp_path: Path) -> None:
    row = work(name, tmp_path)
    assert row["gflop"] == pytest.approx(row["minimum_gflop"], rel=0.02)
    assert row["gflop"] == pytest.approx(BARE[name], rel=0.02)
