"""Generated images that are stored, with their soft targets."""

from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.generators.normalisation import Normalisation


class ImagePool(nn.Module):
    """Stored mixtures and their soft targets.

    Attributes:
        images: `[P, 3, S, S]` uint8, of which the first `count` hold something.
        targets: `[P, K]` float32.
        count: int64 scalar.
    """

    images: Tensor
    targets: Tensor
    count: Tensor

    def __init__(self, image_size: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.image_size = image_size
        self.register_buffer("images", torch.zeros(0, 3, image_size, image_size, dtype=torch.uint8))
        self.register_buffer("targets", torch.zeros(0, 0))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.normalisation = Normalisation(mean, std)

    def make_room(self, capacity: int, num_classes: int) -> None:
        self.images = self.images.new_zeros(capacity, *self.images.shape[1:])
        self.targets = self.targets.new_zeros(capacity, num_classes)

    def add(self, images: Tensor, targets: Tensor) -> None:
        """Stores normalised images `[n, 3, S, S]`."""
        start = int(self.count)
        end = start + len(images)
        pixels = (self.normalisation.inverse(images) * 255).round().clamp(0, 255)
        self.images[start:end] = pixels.to(torch.uint8)
        self.targets[start:end] = targets
        self.count.fill_(end)

    def draw(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images `[B, 3, S, S]` float32 and targets `[B, K]` at positions `[B]`."""
        return self.normalisation(self.images[position].float() / 255), self.targets[position]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The file decides how many mixtures there is room for.
        for name in ("images", "targets"):
            stored = state_dict.get(f"{prefix}{name}")
            if stored is not None and len(getattr(self, name)) == 0:
                setattr(self, name, stored.new_zeros(stored.shape, device=self.count.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
