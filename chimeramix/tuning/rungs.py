"""How long a trial is looked at: successive halving within the generations of a study.

All trials of a generation train to the first rung; the better third of all trials that have ever reached this rung go
on to the next, the others stop (Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization", with eta = 3). Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA), let each
trial go on as soon as it is among the better ones so far: no worker waits, but the outcome depends on which trial is
finished first. Here a generation ends a rung together, so that a study is the same however many runs go at once and
whatever interrupts it. As there, and unlike in the first paper, a trial is compared with all before it and not with
its own generation alone, which may be poor as a whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

ETA = 3


@dataclass(frozen=True)
class Rung:
    """A look at a trial.

    Attributes:
        step: by which the rung is known: epochs, or held-out parts.
        epoch: after which its runs stop for now; None: they go to the end.
        parts: how many of the held-out parts are looked at.
        every: epochs between evaluations, which must meet the rungs; None: as the command says.
    """

    step: int
    epoch: int | None
    parts: int
    every: int | None = None


def rungs_of(stop: str, epochs: int, parts: int) -> list[Rung]:
    """The rungs of a trial, the last one complete. Raises `ValueError` where there is nothing to stop."""
    if stop == "epochs":
        if epochs < 2:
            raise ValueError(f"epochs={epochs}: too few to stop a trial between two")
        first = max(1, round(epochs / ETA**2))
        stops = [epoch for epoch in (first, first * ETA) if epoch < epochs]
        return [*(Rung(epoch, epoch, parts, first) for epoch in stops), Rung(epochs, None, parts, first)]
    if stop == "folds":
        return [Rung(1, None, 1), Rung(parts, None, parts)]
    return [Rung(epochs, None, parts)]


def survivors(scores: Sequence[float], earlier: Sequence[float], maximise: bool) -> list[int]:
    """Positions of the trials that go on: those among the better third of all trials at this rung, rounded up. Of equal
    ones the earlier goes first.

    Args:
        scores: of the generation's trials at the rung, in their order.
        earlier: of the trials of earlier generations at the same rung.
    """
    sign = -1 if maximise else 1
    everything = [*earlier, *scores]
    ranked = sorted(range(len(everything)), key=lambda position: (sign * everything[position], position))
    chosen = ranked[: math.ceil(len(everything) / ETA)]
    return sorted(position - len(earlier) for position in chosen if position >= len(earlier))
