"""Two methods over the same splits."""

import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass

from chimeramix.errors import UserError
from chimeramix.report.results import Result, full_name
from chimeramix.report.store import Draw


@dataclass(frozen=True)
class Comparison:
    """The mean of the differences first − second over the runs with the same draw.

    Attributes:
        pairs: number of those.
        difference: in percentage points.
        dependent: whether several pairs are of one split: they share labelled images, and the interval is too narrow.
        half_width: of the 95 % confidence interval around it, by Student's t with pairs − 1 degrees of freedom; None
            for a single pair.
    """

    first: Result
    second: Result
    pairs: int
    difference: float
    half_width: float | None
    dependent: bool = False


def compare(results: list[Result], first: str, second: str) -> list[Comparison]:
    """Compares two methods of one model wherever both have runs on the same splits.

    Args:
        first, second: named as `full_name` reads them.

    Raises:
        UserError: see `full_name`; and where no model or no split was used by both.
    """
    first, second = (full_name(results, name, "--compare") for name in (first, second))
    firsts, seconds = ([result for result in results if name in result.names] for name in (first, second))
    comparisons = []
    for result in firsts:
        same = [other for other in seconds if _place(other) == _place(result)]
        comparison = paired(result, same[0]) if same else None
        if comparison is not None:
            comparisons.append(comparison)
    if {result.model for result in firsts}.isdisjoint(result.model for result in seconds):
        raise UserError(f"--compare: {first!r} and {second!r} are of different models, which --against compares")
    if not comparisons:
        raise UserError(f"--compare: {first!r} and {second!r} have no split in common, so there is nothing to pair")
    return comparisons


def _place(result: Result) -> tuple[str, str, str | None, int | None]:
    """Where one method has one result only."""
    return result.dataset, result.model, result.held_out, result.samples_per_class


def paired(first: Result, second: Result) -> Comparison | None:
    """Compares two results of one number of samples; None where no draw was used by both."""
    shared = [draw for draw in sorted(first.runs) if draw in second.runs]
    if not shared:
        return None
    differences = [first.runs[draw].score - second.runs[draw].score for draw in shared]
    mean, width = statistics.fmean(differences), half_width(differences)
    return Comparison(first, second, len(shared), mean, width, dependent(first.samples_per_class, shared))


def dependent(samples_per_class: int | None, draws: Collection[Draw]) -> bool:
    """Whether several of the runs share labelled images: an interval over them is too narrow."""
    subsets = {draw.subset if samples_per_class is not None else None for draw in draws}  # of all images there is one
    return len(subsets) < len(draws)


def half_width(differences: list[float]) -> float | None:
    """Of the 95 % confidence interval around the mean of paired differences; None for a single one."""
    if len(differences) < 2:
        return None
    from scipy.special import stdtrit  # the quantile of scipy.stats.t, which would take a second to import

    quantile = float(stdtrit(len(differences) - 1, 0.975))
    return quantile * statistics.stdev(differences) / math.sqrt(len(differences))
