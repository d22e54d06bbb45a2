"""Several augmentations, one after the other."""

from collections.abc import Callable, Mapping

from torch import Tensor

from chimeramix.streams import RandomStream


class Compose:
    """Applies augmentations in the order in which they are listed.

    Args:
        steps: augmentations by name. The names serve configurations: `augment.steps.flip_crop.padding=2` replaces one
            value of one step.
    """

    def __init__(
        self, steps: Mapping[str, Callable[[Tensor, Tensor | None, RandomStream], tuple[Tensor, Tensor | None]]]
    ) -> None:
        for name, step in steps.items():
            if not callable(step):
                raise ValueError(f"steps.{name} must be an augmentation, got {step!r}")
        self.steps = dict(steps)

    @property
    def recordable(self) -> bool:
        """Whether a CUDA graph can repeat this: no step decides anything on the host."""
        return all(getattr(step, "recordable", True) for step in self.steps.values())

    def __call__(self, images: Tensor, segments: Tensor | None, rng: RandomStream) -> tuple[Tensor, Tensor | None]:
        for step in self.steps.values():
            images, segments = step(images, segments, rng)
        return images, segments
