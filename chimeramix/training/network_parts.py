"""Parts of a classifier by their names: feature maps on the way, the last layer."""

import copy
from itertools import chain
from typing import Any

from torch import Tensor, nn


class _Reached(Exception):
    def __init__(self, features: Any) -> None:
        self.features = features


def features_at(network: nn.Module, layer: str, images: Tensor) -> Any:
    """What the module of this name gives; the network goes no further.

    Raises:
        ValueError: where the network does not call it.
    """

    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        raise _Reached(output)

    hook = network.get_submodule(layer).register_forward_hook(stop)
    try:
        network.forward(images)  # not the call, which may be compiled without the hook
    except _Reached as reached:
        return reached.features
    finally:
        hook.remove()
    raise ValueError(f"procedure.layer={layer}: {type(network).__name__} does not call this module")


def last_layer(model: nn.Module, num_classes: int) -> str:
    """The name of the last linear layer with an output per class. Raises `ValueError` where there is none."""
    found = [
        name
        for name, layer in model.named_modules()
        if name and isinstance(layer, nn.Linear) and layer.out_features == num_classes
    ]
    if not found:
        raise ValueError(
            f"AutoMix trains a second last layer for mixed images, and {type(model).__name__} has no linear layer of "
            f"{num_classes} outputs: set procedure.separate_heads=false"
        )
    return found[-1]


def with_own_layer(model: nn.Module, name: str) -> tuple[nn.Module, nn.Module]:
    """A second network on the same weights and buffers, but for a copy of the layer of this name; and that copy."""
    layer = model.get_submodule(name)
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    second = copy.deepcopy(model, shared)
    own = copy.deepcopy(layer)
    second.set_submodule(name, own)
    return second, own
