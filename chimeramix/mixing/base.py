"""What every mixer has in common."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.streams import RandomStream, derive_seed
from chimeramix.types import Batch


class Mixer(nn.Module):
    """Turns a batch into mixed images and soft targets, with a given probability per batch.

    A mixer is called as torchvision's `v2.MixUp` is: `images, targets = mixer(images, labels)`. Training loops of this
    package call `mix` with a whole `Batch`, which also tells where the images come from. A subclass implements
    `compose`.

    Args:
        num_classes: K.
        probability: share of batches that are mixed; the others pass unchanged with one-hot targets.
        rng: all random draws. A seed makes a stream on the first batch's device; None seeds it from torch's global
            seed and the mixer's class, in workers of a `DataLoader` from the worker's.

    `state_dict()` holds the stream, so a mixer goes on where it was saved.
    """

    partners: Any = None
    """Draws same-class partners, for mixers that take class numbers alone; see `chimeramix.mixing.chimera.Partners`."""
    views: Callable[[Tensor], Batch] | None = None

    def __init__(self, num_classes: int, probability: float = 1.0, rng: RandomStream | int | None = None) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}")
        self.num_classes = num_classes
        self.probability = probability
        self.rng = rng

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes a batch, drop-in where torchvision's `v2.MixUp` and `v2.CutMix` stand.

        Args:
            images: `[B, C, H, W]` float of any precision, normalised or not; not changed.
            labels: `[B]` int64 class numbers or `[B, K]` float whose rows sum to 1.

        Returns:
            Images of the same shape and dtype, and targets `[B, K]` float32 whose rows sum to 1.

        Raises:
            ValueError: for other shapes or dtypes.
        """
        return self.mix(self.batch_of(images, labels))

    def batch_of(self, images: Tensor, labels: Tensor) -> Batch:
        """The batch of these images and labels. Raises `ValueError`, see `forward`."""
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(
                f"images must be a float tensor [batch, channels, height, width], got {images.dtype} "
                f"{list(images.shape)}"
            )
        soft = labels.is_floating_point()
        if soft and labels.shape != (len(images), self.num_classes):
            raise ValueError(
                f"soft labels must be [batch, classes] = {[len(images), self.num_classes]}, got {list(labels.shape)}"
            )
        if not soft and (labels.shape != (len(images),) or labels.dtype != torch.int64):
            raise ValueError(
                f"labels must be int64 class numbers [batch] = [{len(images)}] or floats [batch, classes], "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        return Batch(images, labels)

    def mix(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same for a batch; one draw decides for all of its images."""
        rng = self.stream(batch.images.device)
        if not rng.coin(self.probability):
            return batch.images, self.targets(batch.labels)
        return self.compose(batch, rng)

    def stream(self, device: torch.device) -> RandomStream:
        """The mixer's random stream, made when the first batch comes."""
        if not isinstance(self.rng, RandomStream):
            seed = derive_seed(torch.initial_seed(), type(self).__name__) if self.rng is None else self.rng
            self.rng = RandomStream(seed, device)
        return self.rng

    def get_extra_state(self) -> Any:
        return self.rng.state_dict() if isinstance(self.rng, RandomStream) else self.rng

    def set_extra_state(self, state: Any) -> None:
        if not isinstance(state, dict):
            self.rng = state
            return
        host, device = state["host"], state["device"]
        on_cuda = host.shape != device.shape  # the state of a CUDA generator is smaller
        self.rng = RandomStream(0, "cuda" if on_cuda else "cpu")
        self.rng.load_state_dict({"host": host, "device": device})

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    @classmethod
    def check_generator(cls, generator: object) -> None:
        """Raises `ValueError` for a generator, trained or not, of a kind that this mixer can't use."""

    def check(self, image_size: int) -> None:
        """Raises `ValueError` where images of this side can't be mixed; for asking before a training starts."""

    def targets(self, labels: Tensor) -> Tensor:
        """`[B, K]` float32: soft labels as they are, class numbers one-hot."""
        if labels.is_floating_point():
            return labels.float()
        return F.one_hot(labels, self.num_classes).float()
