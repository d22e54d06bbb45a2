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

    def __init__(self, steps: Mapping[str, Callable[..., tuple[Tensor, Tensor | None]]]) -> None:
        for name, step in steps.items():
            if not callable(step):
                raise ValueError(f"steps.{name} must be an augmentation, got {step!r}")
        self.steps = dict(steps)
        first = next(iter(self.steps.values()), None)
        self.needs_whole = getattr(first, "needs_whole", False)
        self.longest_side: int | None = getattr(first, "longest_side", None)

    @property
    def recordable(self) -> bool:
        """Whether a CUDA graph can repeat this: no step decides anything on the host."""
        return all(getattr(step, "recordable", True) for step in self.steps.values())

    def __call__(
        self, images: Tensor, segments: Tensor | None, rng: RandomStream, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Whole images and their `sizes` are for the first step, which makes squares of them."""
        more = {} if sizes is None else {"sizes": sizes}
        for step in self.steps.values():
            images, segments = step(images, segments, rng, **more)
            more = {}
        return images, segments
