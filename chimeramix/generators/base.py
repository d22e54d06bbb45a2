"""What all generators have in common: the recipe of their training, and what the training loop asks of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from chimeramix.machine import Machine
from chimeramix.streams import RandomStream
from chimeramix.types import Batch, Mask, Subset


class Stateful(Protocol):
    """A network, an optimisation: whatever a checkpoint can hold."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Generator(ABC):
    """A generator that can be trained on images, or on pairs of same-class images.

    Training calls `begin` and `prepare` once, then `step` and `advance` in turn, and `settle` after the last step.
    A subclass spells out all of its parameters, because its signature is the schema of its configuration file.

    Args:
        image_size: side of the training images in pixels.
        epochs: passes over the repeated subset.
        batch_size: images per step.
        epoch_labels_per_class: an epoch repeats the subset to about this many images per class.
        augment: for the training images; see `chimeramix.augment`.

    Attributes:
        network: what a classifier's mixer uses after training; its weights are the run's outcome.

    Raises:
        ValueError: for a recipe out of range.
    """

    needs_partners: ClassVar[bool] = False
    """Whether a step takes a partner for each image."""
    recordable: ClassVar[bool] = True
    """Whether CUDA graphs can record a step: all that the host decides are coins of random streams."""
    mask: Mask | None = None
    """The mask that a step draws; None where it needs none."""
    include_self: bool = True
    """Whether an image may be its own partner."""
    unlabelled: int = 0
    """How many images outside the labelled subset are used, without labels."""
    transductive: bool = False
    """Whether the test images are used, without labels."""

    network: nn.Module

    def __init__(
        self,
        image_size: int,
        epochs: int,
        batch_size: int,
        epoch_labels_per_class: int,
        augment: Callable[..., Any],
    ) -> None:
        recipe = {"epochs": epochs, "batch_size": batch_size, "epoch_labels_per_class": epoch_labels_per_class}
        require_at_least_1(**recipe)
        self.image_size = image_size
        self.epochs = epochs
        self.batch_size = batch_size
        self.epoch_labels_per_class = epoch_labels_per_class
        self.augment = augment

    def begin(self, subset: Subset, rng: RandomStream) -> None:
        """Makes what depends on the subset; before `prepare`. By default nothing does."""
        return

    @abstractmethod
    def prepare(self, machine: Machine, total_steps: int) -> None:
        """Moves the networks to the device and makes the optimisers; to be called once, before the first step."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The generator's, in the step to come."""

    @abstractmethod
    def step(self, first: Batch, partner: Batch | None, rng: RandomStream) -> dict[str, Tensor]:
        """The device's part of a step on B images, and their partners where `needs_partners`: one of each image, or as
        many as the mask takes (`chimeramix.shares`). Returns the losses, unweighted, as scalars on the device."""

    @abstractmethod
    def advance(self) -> None:
        """The host's part of a step, after the device's: learning rates, counting."""

    def settle(self) -> None:
        """Brings the network into the state in which a classifier uses it: before a picture and after the last step.
        Leaves the rest of the training as it would be without. By default there is nothing to do."""
        return

    @abstractmethod
    def preview(self, first: Batch, partner: Batch, rng: RandomStream) -> dict[str, Tensor]:
        """Columns of a picture by title, each `[B, 3, S, S]`, normalised as the training images: what a classifier
        gets of the generator, where `settle` came before."""

    @abstractmethod
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint holds, by name; complete after `prepare`."""

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts().items():
            part.load_state_dict(state[name])


def require_at_least_1(**counts: int) -> None:
    """Raises `ValueError` for a count below 1."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
