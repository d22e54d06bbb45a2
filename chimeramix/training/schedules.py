"""Learning-rate schedules as factors over the share of the training that is done, in [0, 1].

Shares instead of step numbers, so that a schedule keeps its shape when the number of epochs changes.
"""

import math
from collections.abc import Callable, Sequence


class Cosine:
    """From 1 along half a cosine, without warm-up (ChimeraMix 4.1).

    Args:
        end: factor at the end of the training, in [0, 1].
    """

    def __init__(self, end: float = 0.0) -> None:
        if not 0 <= end <= 1:
            raise ValueError(f"end must be in [0, 1], got {end}")
        self.end = end

    def __call__(self, progress: float) -> float:
        return self.end + (1 - self.end) * (0.5 * (1 + math.cos(math.pi * progress)))


class MultiStep:
    """Multiplied by `factor` at each milestone.

    Args:
        milestones: shares of the training, in (0, 1); the ChimeraMix generator's epochs 60, 120 and 160 of 200 are
            0.3, 0.6 and 0.8.
        factor: positive.
    """

    def __init__(self, milestones: Sequence[float], factor: float) -> None:
        if any(not 0 < milestone < 1 for milestone in milestones):
            raise ValueError(f"milestones must be shares of the training between 0 and 1, got {list(milestones)}")
        if factor <= 0:
            raise ValueError(f"factor must be positive, got {factor}")
        self.milestones = tuple(milestones)
        self.factor = factor

    def __call__(self, progress: float) -> float:
        return float(self.factor ** sum(progress >= milestone for milestone in self.milestones))


class Constant:
    """A constant learning rate."""

    def __call__(self, share: float) -> float:
        return 1.0


class WarmUp:
    """A linear rise to 1, then another schedule over the rest of the training.

    Args:
        schedule: of the rest; from a share of the training in [0, 1] to a factor.
        share: of the training that the rise takes, in (0, 1).
        start: factor of the first step, in [0, 1].
    """

    def __init__(self, schedule: Callable[[float], float], share: float = 0.05, start: float = 0.01) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share must be between 0 and 1, got {share}")
        if not 0 <= start <= 1:
            raise ValueError(f"start must be in [0, 1], got {start}")
        self.schedule, self.share, self.start = schedule, share, start

    def __call__(self, progress: float) -> float:
        if progress < self.share:
            return self.start + (1 - self.start) * progress / self.share
        return self.schedule((progress - self.share) / (1 - self.share))
