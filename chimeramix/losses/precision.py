"""The precision that losses are computed in."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """float32, or float64 for a float64 tensor."""
    return torch.promote_types(tensor.dtype, torch.float32)
