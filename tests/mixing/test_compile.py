"""Mixers within torch.compile: their draws stay outside of the graph, the numbers stay the same."""

import pytest
import torch
import torch.nn.functional as F

from chimeramix.mixing import AGMix, CutMix, FMix, GridMix, MiAMix, Mixer, MixUp, SaliencyMix


@pytest.mark.parametrize("mixer", [MixUp, CutMix, FMix, GridMix, AGMix, SaliencyMix, MiAMix])
def test_a_compiled_step_mixes_the_same(mixer: type[Mixer]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    labels = torch.randint(4, (8,), generator=generator)
    weight = torch.randn(4, 3 * 16 * 16, generator=generator)

    def losses(compiled: bool) -> torch.Tensor:
        own = mixer(4, rng=0)

        def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            mixed, targets = own(images, labels)
            return F.cross_entropy(F.linear(mixed.flatten(1), weight), targets)

        torch.compiler.reset()
        call = torch.compile(step, backend="aot_eager") if compiled else step
        return torch.stack([call(images, labels) for _ in range(3)])

    torch.testing.assert_close(losses(compiled=True), losses(compiled=False))
