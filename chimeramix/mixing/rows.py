"""Applies a function to some samples of a batch, without a host synchronisation."""

from collections.abc import Callable

import torch
from torch import Tensor

from chimeramix.streams import may_look

Rows = Tensor | slice
"""Indexes the samples of a batch: positions `[n]` int64, or all of them."""


def replace_rows(values: Tensor, chosen: Tensor, function: Callable[[Rows], Tensor], all_rows: bool = False) -> Tensor:
    """`values` with `function(rows)` in the chosen samples.

    On a CPU the function gets the chosen rows only. On other devices it gets all: reading which rows are chosen would
    synchronise.

    Args:
        values: `[B, ...]`; not changed.
        chosen: `[B]` bool.
        function: from n rows to `[n, ...]`, broadcastable to the values.
        all_rows: whether the function gets all rows on a CPU as well.
    """
    if all_rows or not may_look(values):
        return torch.where(chosen.view(-1, *[1] * (values.ndim - 1)), function(slice(None)), values)
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return values
    replaced = values.clone()
    replaced[rows] = function(rows)
    return replaced
