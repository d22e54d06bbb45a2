"""Mixers within torch.compile: unseeded ones in one graph; with a seed their draws stay outside, and the same."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.mixing import AGMix, Chain, CutMix, FMix, GridMix, MiAMix, Mixer, MixUp, SaliencyMix, Sometimes

MIXERS = [MixUp, CutMix, FMix, GridMix, AGMix, SaliencyMix, MiAMix]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.randint(4, (8,), generator=generator)


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_compiled_step_mixes_the_same(mixer: type[Mixer]) -> None:
    weight = torch.randn(4, 3 * 16 * 16, generator=torch.Generator().manual_seed(1))

    def losses(compiled: bool) -> Tensor:
        own = mixer(4, rng=0)

        def step(images: Tensor, labels: Tensor) -> Tensor:
            mixed, targets = own(images, labels)
            return F.cross_entropy(F.linear(mixed.flatten(1), weight), targets)

        torch.compiler.reset()
        call = torch.compile(step, backend="aot_eager") if compiled else step
        return torch.stack([call(*batch()) for _ in range(3)])

    torch.testing.assert_close(losses(compiled=True), losses(compiled=False))


def whole(mixer: Mixer) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    torch.compiler.reset()
    return torch.compile(lambda images, labels: mixer(images, labels), fullgraph=True, backend="aot_eager")


@pytest.mark.parametrize("mixer", MIXERS)
def test_an_unseeded_mixer_is_one_graph(mixer: type[Mixer]) -> None:
    """Numbers come from torch's global generator, and differ from call to call."""
    call = whole(mixer(4))
    made = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        images, targets = call(*batch())
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        assert not torch.equal(targets, torch.eye(4)[batch()[1]]) or mixer is SaliencyMix
        made.append((images, targets))
    torch.testing.assert_close(made[0], made[2], rtol=0, atol=0)
    assert mixer is SaliencyMix or not torch.equal(made[0][0], made[1][0])


def test_label_mass_is_pixel_mass_in_a_graph() -> None:
    labels = torch.arange(60) % 3
    images = torch.eye(3)[labels][:, :, None, None].expand(-1, -1, 16, 16).clone()
    mixed, targets = whole(MiAMix(3))(images, labels)
    torch.testing.assert_close(mixed.mean((2, 3)), targets, atol=2e-6, rtol=0)


def test_a_probability_in_a_graph_is_one_draw_for_the_batch() -> None:
    call, mixed = whole(MixUp(4, probability=0.4)), 0
    torch.manual_seed(0)
    for _ in range(300):
        images, targets = call(*batch())
        if torch.equal(images, batch()[0]):
            assert torch.equal(targets, torch.eye(4)[batch()[1]])
        else:
            mixed += 1
    assert mixed / 300 == pytest.approx(0.4, abs=0.14)


def test_several_mixers_in_a_graph() -> None:
    for mixer in (Chain(4, {"one": MixUp(4), "two": CutMix(4)}), Sometimes(CutMix(4))):
        assert not torch.equal(whole(mixer)(*batch())[0], batch()[0])


def test_a_seed_is_no_part_of_a_graph() -> None:
    """torch.compile can't trace a torch.Generator; without fullgraph it compiles around it."""
    with pytest.raises(torch._dynamo.exc.Unsupported):
        whole(MixUp(4, rng=0))(*batch())
