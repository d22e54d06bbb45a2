"""Batch normalisation in steps with more than one pass through the network."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen_statistics(*networks: nn.Module) -> Iterator[None]:
    """Batch normalisation with the batch's statistics, but without learning the running ones."""
    layers = [
        layer
        for network in networks
        for layer in network.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
