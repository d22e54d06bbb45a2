"""What the mixers of a chain get from each other."""

import torch
from torch import Tensor

from chimeramix.mixing import Chain, Mixer
from chimeramix.streams import RandomStream
from chimeramix.types import Batch


class Halving(Mixer):
    """Halves the images, gives half of each target to the next class, and keeps the batches that it got."""

    def __init__(self) -> None:
        super().__init__(num_classes=3, rng=0)
        self.got: list[Batch] = []

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        self.got.append(batch)
        targets = self.targets(batch.labels)
        return batch.images / 2, (targets + targets.roll(1, 1)) / 2


def test_each_mixer_gets_what_the_one_before_made() -> None:
    """Superpixels and second views are of the images as they were: after the first mixer they would be wrong."""
    mixers = {name: Halving() for name in ("first", "second", "third")}
    batch = Batch(
        torch.full((2, 3, 4, 4), 8.0),
        torch.tensor([0, 2]),
        index=torch.tensor([7, 5]),
        segments=torch.zeros(2, 4, 4, dtype=torch.int16),
        second=torch.ones(2, 3, 4, 4),
    )
    images, targets = Chain(3, mixers).mix(batch)

    (first,), (second,), (third,) = (mixer.got for mixer in mixers.values())
    assert first is batch
    for later in (second, third):
        assert later.segments is None
        assert later.second is None
        assert later.index is batch.index  # the place in the subset is still the image's
    assert [later.images.unique().item() for later in (second, third)] == [4, 2]
    assert second.labels.tolist() == [[0.5, 0.5, 0], [0.5, 0, 0.5]]
    assert third.labels.tolist() == [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]
    assert images.unique().item() == 1
    assert targets.tolist() == [[0.25, 0.375, 0.375], [0.375, 0.375, 0.25]]
    assert batch.segments is not None  # what was handed in stays
