"""Mixers for batches that are dictionaries, tuples or other nests of tensors, as torchvision's mixers take them."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from chimeramix.mixing.base import Mixer


class Structured(nn.Module):
    """Finds images and labels in a batch of any structure and puts back what the mixer makes of them.

    The images are the first `tv_tensors.Image` of four dimensions, or else the first tensor of four dimensions that is
    no `tv_tensors.Mask`; everything else but the labels comes back as it is. `default_collate` makes plain tensors of
    both types: put the images before the masks there. `mixup_enabled` and `label_smoothing` are the mixer's.

    Args:
        mixer: what is applied.
        labels_getter: from the batch to its labels, which must be one of its tensors: `lambda batch: batch["target"]`.
            "default" takes the second item of a tuple or list, and of a dictionary what has "label" in its key, as
            torchvision's `v2.MixUp` does.

    Raises:
        ValueError: when called, for a batch without images or whose labels are none of its tensors.
    """

    def __init__(self, mixer: Mixer, labels_getter: Callable[[Any], Tensor] | Literal["default"] = "default") -> None:
        super().__init__()
        self.mixer = mixer
        self.labels_getter = _find_labels if labels_getter == "default" else labels_getter

    @property
    def mixup_enabled(self) -> bool:
        return self.mixer.mixup_enabled

    @mixup_enabled.setter
    def mixup_enabled(self, enabled: bool) -> None:
        self.mixer.mixup_enabled = enabled

    @property
    def label_smoothing(self) -> float:
        return self.mixer.label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, smoothing: float) -> None:
        self.mixer.label_smoothing = smoothing

    def forward(self, *inputs: Any) -> Any:
        """One batch, or its parts as arguments; returned in the same structure."""
        batch = inputs if len(inputs) > 1 else inputs[0]
        labels = self.labels_getter(batch)
        leaves, structure = pytree.tree_flatten(batch)
        places = [place for place, leaf in enumerate(leaves) if leaf is labels]
        four = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.ndim == 4]
        # By name: torchvision, whose types these are, need not be there.
        images = [place for place in four if type(leaves[place]).__name__ == "Image"]
        images += [place for place in four if type(leaves[place]).__name__ not in ("Image", "Mask")]
        if not places or not images:
            raise ValueError(
                "the batch must hold images [batch, channels, height, width] and what labels_getter returns"
            )
        leaves[images[0]], leaves[places[0]] = self.mixer(leaves[images[0]], labels)
        return pytree.tree_unflatten(leaves, structure)


def _find_labels(batch: Any) -> Any:
    """Labels where they usually are. None where they are not."""
    if isinstance(batch, tuple | list):
        return batch[1] if len(batch) > 1 else None
    if isinstance(batch, dict):
        names = sorted((str(key) for key in batch if "label" in str(key).lower()), key=len)
        return batch[names[0]] if names else None
    return None
