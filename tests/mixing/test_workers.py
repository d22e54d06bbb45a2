"""Mixers in the workers of a DataLoader: other numbers in each worker and epoch, however the workers are started."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from chimeramix.mixing import Chain, FMix, MiAMix, Mixer, MixUp

IMAGES, LABELS = torch.zeros(24, 3, 12, 12), torch.arange(24) % 4


class Mixing:
    """A collate function, at the top of the module so that it can be sent to other processes."""

    def __init__(self, mixers: dict[str, Mixer]) -> None:
        self.mixers = mixers

    def __call__(self, samples: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        batch = default_collate(samples)
        return {name: mixer(*batch)[1] for name, mixer in self.mixers.items()}


def used(mixer: Mixer) -> Mixer:
    mixer(IMAGES, LABELS)
    return mixer


def restored() -> Mixer:
    mixer = MixUp(4)
    mixer.load_state_dict(used(MixUp(4, rng=3)).state_dict())
    return mixer


def make() -> dict[str, Mixer]:
    return {
        "new": MixUp(4),
        "used": used(MixUp(4)),
        "another": used(MixUp(4)),
        "restored": restored(),
        "seeded": used(MixUp(4, rng=3)),
        "generator": MixUp(4, rng=torch.Generator().manual_seed(3)),
        "other seed": MixUp(4, rng=5),
        "chain": used(Chain(4, {"fmix": FMix(4), "miamix": MiAMix(4)})),
    }


def drawn(method: str, epochs: int = 2, seed: int = 0) -> dict[str, list[Tensor]]:
    """What each mixer makes of twelve labels in two workers (one batch each)."""
    torch.manual_seed(seed)
    dataset = TensorDataset(IMAGES, LABELS)
    loader = DataLoader(
        dataset, batch_size=12, num_workers=2, collate_fn=Mixing(make()), multiprocessing_context=method
    )
    batches = [batch for _ in range(epochs) for batch in loader]
    return {name: [batch[name] for batch in batches] for name in batches[0]}


@pytest.mark.parametrize(("method", "epochs"), [("fork", 3), ("spawn", 1), ("forkserver", 1)])
def test_every_worker_and_epoch_draws_other_numbers(method: str, epochs: int) -> None:
    """Starting processes from nothing takes seconds, hence one epoch."""
    made = drawn(method, epochs)
    everything = [targets for name, batches in made.items() if name != "generator" for targets in batches]
    assert len(everything) == 7 * 2 * epochs
    for position, one in enumerate(everything):
        assert not any(torch.equal(one, other) for other in everything[position + 1 :])
    # A seed and a generator of that seed are the same.
    torch.testing.assert_close(made["generator"], made["seeded"], rtol=0, atol=0)


def test_the_global_seed_and_the_mixers_decide() -> None:
    first, again, other = drawn("fork"), drawn("fork"), drawn("fork", seed=1)
    for name, batches in first.items():
        torch.testing.assert_close(batches, again[name], rtol=0, atol=0)
        assert not any(torch.equal(one, two) for one, two in zip(batches, other[name], strict=True))
