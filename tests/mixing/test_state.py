"""Mixers in other people's checkpoints: tensors only, whatever machine they were saved on."""

import copy
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from chimeramix.mixing import Chain, CutMix, FMix, MiAMix, Mixer, MixUp, OneOf, Sometimes
from chimeramix.streams import PortableStream, RandomStream, draw_seed

MAKE: dict[str, Callable[[int | None], Mixer]] = {
    "mixup": lambda seed: MixUp(3, rng=seed),
    "fmix": lambda seed: FMix(3, rng=seed),
    "miamix": lambda seed: MiAMix(3, rng=seed),
    "chain": lambda seed: Chain(3, {"one": MixUp(3, rng=seed), "two": CutMix(3, rng=seed)}),
    "one of": lambda seed: OneOf(3, {"one": MixUp(3, rng=seed), "two": CutMix(3, rng=seed)}, rng=seed),
    "sometimes": lambda seed: Sometimes(CutMix(3, rng=seed), rng=seed),
}
FORMER_GPU = torch.arange(16, dtype=torch.uint8)  # a CUDA generator's state: seed and offset


@pytest.fixture(params=MAKE)
def make(request: pytest.FixtureRequest) -> Callable[[int | None], Mixer]:
    return MAKE[request.param]


def batch() -> tuple[Tensor, Tensor]:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(8) % 3


@pytest.mark.parametrize("seed", [0, None])
def test_safetensors_keeps_the_state(make: Callable[[int | None], Mixer], seed: int | None, tmp_path: Path) -> None:
    mixer = make(seed)
    mixer(*batch())
    save_file(mixer.state_dict(), tmp_path / "mixer.safetensors")
    expected = mixer(*batch())
    other = make(9)
    other.load_state_dict(load_file(tmp_path / "mixer.safetensors"))
    torch.testing.assert_close(other(*batch()), expected, rtol=0, atol=0)


@pytest.mark.parametrize("seed", [0, None])
def test_a_mixer_that_was_never_used(make: Callable[[int | None], Mixer], seed: int | None, tmp_path: Path) -> None:
    mixer = make(seed)
    save_file(mixer.state_dict(), tmp_path / "mixer.safetensors")
    other = make(None)
    other.load_state_dict(load_file(tmp_path / "mixer.safetensors"))
    images, targets = other(*batch())
    if seed is not None:
        torch.testing.assert_close((images, targets), mixer(*batch()), rtol=0, atol=0)


def test_as_a_part_of_a_model() -> None:
    """torch.save with weights_only, strict loading, a deep copy, and an average of weights as timm's EMA makes it."""
    model = nn.ModuleDict({"net": nn.Linear(2, 2), "mixer": MixUp(3)})
    unused = copy.deepcopy(model)
    model["mixer"](*batch())
    average = copy.deepcopy(model)
    for mean, value in zip(unused.state_dict().values(), model.state_dict().values(), strict=True):
        mean.copy_(0.9 * mean + 0.1 * value)  # of a copy that was made before the first batch
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        mean.copy_(0.9 * mean + 0.1 * value)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    expected = model["mixer"](*batch())
    torch.testing.assert_close(average["mixer"](*batch()), expected, rtol=0, atol=0)
    fresh = nn.ModuleDict({"net": nn.Linear(2, 2), "mixer": MixUp(3)})
    fresh.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(fresh["mixer"](*batch()), expected, rtol=0, atol=0)


def test_older_checkpoints_load_strictly(make: Callable[[int | None], Mixer]) -> None:
    """Those without a random state leave the mixer's; those with a dictionary, a seed or None give it theirs."""
    mixer, lacking = make(4), dict.fromkeys(make(4).state_dict(), 0)
    mixer.load_state_dict({})
    torch.testing.assert_close(mixer(*batch()), make(4)(*batch()), rtol=0, atol=0)
    host = torch.Generator().manual_seed(4).get_state()
    for former in (4, {"host": host, "device": host}, {"host": host, "device": FORMER_GPU}):
        mixer = make(9)
        mixer.load_state_dict(dict.fromkeys(lacking, former))
        torch.testing.assert_close(mixer(*batch()), make(4)(*batch()), rtol=0, atol=0)
    mixer = make(4)
    mixer.load_state_dict(dict.fromkeys(lacking, None))
    torch.testing.assert_close(mixer(*batch()), make(4)(*batch()), rtol=0, atol=0)


def with_a_gpu(seed: int) -> RandomStream:
    """A generator of its own stands for a GPU's."""
    stream = RandomStream(seed)
    stream.device = torch.Generator().manual_seed(seed)
    return stream


def test_a_gpus_state_loads_without_one_and_goes_on_with_the_hosts_numbers() -> None:
    state = torch.cat([torch.Generator().manual_seed(4).get_state(), FORMER_GPU])
    mixer = MixUp(3, rng=9)
    mixer.load_state_dict({"_extra_state": state})
    torch.testing.assert_close(mixer(*batch()), MixUp(3, rng=4)(*batch()), rtol=0, atol=0)


def test_a_stream_with_a_gpu_goes_on_there() -> None:
    mixer = MixUp(3, rng=with_a_gpu(4))
    mixer(*batch())
    state = copy.deepcopy(mixer.state_dict())
    assert [value.dtype for value in state.values()] == [torch.uint8]
    expected = mixer(*batch())
    other = MixUp(3, rng=with_a_gpu(9))
    other.load_state_dict(state)
    torch.testing.assert_close(other(*batch()), expected, rtol=0, atol=0)


def test_a_stream_with_a_gpu_is_seeded_from_a_state_without_one() -> None:
    mixer = MixUp(3, rng=4)
    mixer(*batch())
    other = MixUp(3, rng=with_a_gpu(9))
    other.load_state_dict(mixer.state_dict())
    assert isinstance(mixer.rng, PortableStream)
    assert other.rng is not None
    assert other.rng.device.initial_seed() == draw_seed(mixer.rng.host)


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="random state has at least 5056 bytes, got 3"):
        MixUp(3).load_state_dict({"_extra_state": torch.zeros(3, dtype=torch.uint8)})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", MAKE)
def test_between_devices(name: str) -> None:
    """One mixer mixes on the CPU and on the GPU in turns, and a copy goes on from its state on both."""
    mixer, there = MAKE[name](0), [value.cuda() for value in batch()]
    for one in (batch(), there, batch()):
        images, targets = mixer(*one)
        assert images.device == targets.device == one[0].device
    state = {key: value.clone() for key, value in mixer.state_dict().items()}
    assert all(not value.is_cuda for value in state.values())
    for one in (there, batch()):
        mixer.load_state_dict(state)
        other = MAKE[name](None)
        other.load_state_dict(state)
        torch.testing.assert_close(other(*one), mixer(*one), rtol=0, atol=0)
