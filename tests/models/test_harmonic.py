"""Harmonic convolutions against a plain sum over filters, torch's convolutions and SciPy's cosine transform."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from chimeramix.machine import Machine
from chimeramix.models import (
    HarmonicScattering,
    HarmonicWideResNet,
    ParametricScattering,
    WideResNet,
    harmonic_resnet,
    resnet,
)
from chimeramix.models.harmonic import HarmonicKernel, HarmonicStem, dct_filters, make_harmonic
from chimeramix.training.averages import AveragedWeights
from chimeramix.training.evaluation import evaluate

CPU = torch.device("cpu")


def harmonic(channels: int, out: int, side: int = 3, level: int | None = None, **options: object) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, out, side, **options)  # type: ignore[arg-type]
    make_harmonic([layer], level)
    return layer.double()


def weight_of(layer: nn.Conv2d) -> nn.Parameter:
    weight: nn.Parameter = layer.get_parameter("parametrizations.weight.original")
    return weight


@pytest.mark.parametrize("side", [2, 3, 7])
def test_filters_are_those_of_scipys_cosine_transform(side: int) -> None:
    """Row u of the transform of the unit vectors is the u-th wave, up to a factor, which the division takes out."""
    waves = scipy.fft.dct(np.eye(side), type=2, axis=0)
    outer = np.einsum("ux,vy->uvxy", waves, waves).reshape(-1, side, side)
    expected = outer / np.abs(outer).sum((1, 2), keepdims=True)
    torch.testing.assert_close(dct_filters(side), torch.from_numpy(expected), atol=1e-14, rtol=0)


def test_filters_by_hand() -> None:
    filters = dct_filters(3)
    torch.testing.assert_close(filters[0], torch.full((3, 3), 1 / 9, dtype=torch.float64))
    torch.testing.assert_close(filters[1], torch.tensor([[1, 0, -1.0]] * 3, dtype=torch.float64) / 6)  # u = 0, v = 1
    torch.testing.assert_close(filters[3], filters[1].t())  # u = 1, v = 0


def test_levels_keep_low_frequencies() -> None:
    full = dct_filters(3)
    assert torch.equal(dct_filters(3, 3), full[[0, 1, 2, 3, 4, 6]])
    assert torch.equal(dct_filters(3, 2), full[[0, 1, 3]])
    assert torch.equal(dct_filters(3, 5), full)
    for level in (0, 6):
        with pytest.raises(ValueError, match=f"levels must be from 1 to 5 for kernels of 3 x 3, got {level}"):
            dct_filters(3, level)


@pytest.mark.parametrize("level", [None, 3, 2, 1])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1, "bias": False}, {"groups": 2, "dilation": 2}],
    ids=["plain", "strided", "grouped"],
)
def test_convolution_is_a_sum_over_filters(options: dict[str, object], level: int | None) -> None:
    """Each filter's convolution by itself, weighted: what no kernel is built for."""
    layer = harmonic(4, 6, level=level, **options)
    filters, weight = dct_filters(3, level).float().double(), weight_of(layer)
    images = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    per_group = 4 // layer.groups
    expected = 0 if layer.bias is None else layer.bias[:, None, None]
    for number, each in enumerate(filters):
        filtered = F.conv2d(
            images, each.expand(4, 1, 3, 3), None, layer.stride, layer.padding, layer.dilation, groups=4
        )
        parts = []
        for out in range(6):
            first = out // (6 // layer.groups) * per_group
            parts.append(sum(weight[out, number, i] * filtered[:, first + i] for i in range(per_group)))
        expected = expected + torch.stack(parts, 1)
    torch.testing.assert_close(layer(images), expected)


def test_all_filters_give_every_kernel() -> None:
    """The cosine transform is a basis: with all filters a harmonic convolution can be any convolution."""
    plain = nn.Conv2d(3, 5, 3).double()
    layer = harmonic(3, 5)
    layer.weight, layer.bias = plain.weight.detach().clone(), plain.bias
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(images), plain(images), atol=1e-7, rtol=0)  # filters were rounded to float32


def test_gradients_are_finite_differences() -> None:
    layer = harmonic(2, 2, level=3, bias=False)
    kernel = layer.parametrizations["weight"][0]
    images = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = weight_of(layer).detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda w, x: F.conv2d(x, kernel(w)), (weight, images))


def test_stem_by_hand() -> None:
    torch.manual_seed(0)
    stem = HarmonicStem(nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)).double()
    assert stem.mix.bias is None
    assert {name for name, _ in stem.named_parameters()} == {"mix.weight"}
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    filters = dct_filters(3).float().double()
    channels = [
        F.conv2d(images[:, [channel]], each[None, None], stride=2, padding=1)
        for channel in range(3)
        for each in filters
    ]
    responses = torch.cat(channels, 1)
    mean, variance = responses.mean((0, 2, 3), keepdim=True), responses.var((0, 2, 3), correction=0, keepdim=True)
    normalised = (responses - mean) / (variance + 1e-5).sqrt()
    expected = torch.einsum("oc,bchw->bohw", stem.mix.weight[:, :, 0, 0], normalised)
    torch.testing.assert_close(stem(images), expected)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "WRN": (lambda: HarmonicWideResNet(10, 16, 2), lambda: WideResNet(10, 16, 2)),
    "ResNet-18": (lambda: harmonic_resnet(10, "resnet18", "cifar"), lambda: resnet(10, "resnet18", "cifar")),
    "ResNet-50": (lambda: harmonic_resnet(10, "resnet50", "imagenet"), lambda: resnet(10, "resnet50", "imagenet")),
    "ResNeXt-50": (
        lambda: harmonic_resnet(10, "resnext50_32x4d", "cifar"),
        lambda: resnet(10, "resnext50_32x4d", "cifar"),
    ),
    "scattering": (lambda: HarmonicScattering(10), lambda: ParametricScattering(10)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_wide_kernel_is_harmonic_and_no_other(name: str) -> None:
    with torch.device("meta"):
        network, plain = (make() for make in NETWORKS[name])
    stem = {"WRN": "stem", "scattering": None}.get(name, "conv1")
    wide = {n for n, m in plain.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1} - {stem}
    assert wide == {n for n, m in network.named_modules() if parametrize.is_parametrized(m)}
    if stem:
        assert isinstance(network.get_submodule(stem), HarmonicStem)
    counts = [sum(parameter.numel() for parameter in one.parameters()) for one in (network, plain)]
    assert counts[0] == counts[1]
    assert not any("filters" in key for key in network.state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_convolutions_work_is_unchanged(name: str) -> None:
    """Once the kernels are there; the stem is left out, which is another one."""

    def work(network: nn.Module) -> int:
        stems: list[int] = []
        for name, module in network.named_children():
            if name in ("stem", "conv1"):
                module.forward = _counted(module.forward, stems)  # type: ignore[method-assign, assignment]
        with torch.no_grad(), parametrize.cached():
            network(images)  # builds the kernels
            stems.clear()
            with FlopCounterMode(display=False) as counter:
                network(images)
        return int(counter.get_total_flops()) - sum(stems)

    with torch.device("meta"):
        images = torch.empty(2, 3, 64, 64)
        network, plain = (make().eval() for make in NETWORKS[name])
    assert work(network) == work(plain) > 0


def _counted(forward: Callable[[Tensor], Tensor], found: list[int]) -> Callable[[Tensor], Tensor]:
    def call(images: Tensor) -> Tensor:
        with FlopCounterMode(display=False) as counter:
            out = forward(images)
        found.append(int(counter.get_total_flops()))
        return out

    return call


def test_progressive_levels() -> None:
    network = HarmonicWideResNet(10, 16, 1, levels=[None, 3, 2])
    filters = [weight_of(block.conv2).shape[1] for group in network.groups for block in group]
    assert filters == [9, 9, 6, 6, 3, 3]
    images = torch.randn(2, 3, 32, 32)
    assert network(images).shape == (2, 10)
    same = HarmonicWideResNet(10, 16, 1, levels=2)
    assert {weight_of(block.conv1).shape[1] for group in same.groups for block in group} == {3}
    assert len(same.stem.filters) == 27


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HarmonicWideResNet(10, 10, 1, levels=[3, 2]), r"a list of 3, one for each group, got \[3, 2\]"),
        (
            lambda: harmonic_resnet(10, "resnet18", "cifar", [3] * 3),
            r"a list of 4, one for each group, got \[3, 3, 3\]",
        ),
        (lambda: HarmonicScattering(10, levels=[3]), r"a list of 2, one for each group, got \[3\]"),
        (lambda: HarmonicWideResNet(10, 10, 1, levels=0), "levels must be from 1 to 5 for kernels of 3 x 3, got 0"),
        (lambda: HarmonicWideResNet(10, 10, 1, levels=[3, 2, 9]), "levels must be from 1 to 5 .*, got 9"),
    ],
)
def test_refusals(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_initialisation() -> None:
    """Fan out over the filters: variance 2 / (output channels * filters); 1x1 convolutions as ever."""
    torch.manual_seed(0)
    block = HarmonicWideResNet(10, 16, 4, levels=3).groups[1][0]
    assert weight_of(block.conv1).shape == (128, 6, 64)
    assert weight_of(block.conv1).std().item() == pytest.approx((2 / (6 * 128)) ** 0.5, rel=0.02)
    assert block.shortcut.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)


class Counting:
    """Counts the kernels that are built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built = 0
        forward = HarmonicKernel.forward

        def count(kernel: HarmonicKernel, weight: Tensor) -> Tensor:
            self.built += 1
            return forward(kernel, weight)

        monkeypatch.setattr(HarmonicKernel, "forward", count)


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """As an evaluation has them, in batches of two, up to a constant and in half precision."""
    labels = torch.arange(len(images)) % 3
    found = evaluate(network, images, labels, 3, lambda pixels: pixels / 255.0, Machine(CPU), batch_size=2)
    return found["plain"].logits


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return HarmonicWideResNet(3, 10, 1)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def fresh_logits(network: nn.Module, images: Tensor) -> Tensor:
    """The same from a new network with the same values, which can't have a kernel from before."""
    other = HarmonicWideResNet(3, 10, 1)
    other.load_state_dict(network.state_dict())
    return logits_of(other, images)


def test_an_evaluation_builds_each_kernel_once(
    network: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    expected = logits_of(network, images)
    assert counting.built == 6  # two in each of three blocks, for three batches
    with torch.no_grad():
        logits = network.eval()(images / 255.0)
    assert counting.built == 12
    torch.testing.assert_close((logits - logits.amax(1, keepdim=True)).half(), expected)


def step(network: nn.Module) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, fused=True)
    network(torch.rand(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()


def load(network: nn.Module) -> None:
    network.eval()
    network.load_state_dict(HarmonicWideResNet(3, 10, 1).state_dict())


def in_place(network: nn.Module) -> None:
    network.eval()
    for parameter in network.parameters():
        parameter.data.add_(torch.rand_like(parameter))  # of which autograd's version counter does not hear


@pytest.mark.parametrize("change", [step, load, in_place])
def test_no_kernel_is_older_than_its_weights(
    change: Callable[[nn.Module], None], network: nn.Module, images: Tensor
) -> None:
    before = logits_of(network, images)
    change(network)
    after = logits_of(network, images)
    assert not torch.equal(after, before)
    assert torch.equal(after, fresh_logits(network, images))


def test_averages_have_kernels_of_their_own(network: nn.Module, images: Tensor) -> None:
    average = AveragedWeights(network)
    before = logits_of(average.network, images)
    step(network)
    assert torch.equal(logits_of(average.network, images), before)
    average.follow(0.5)
    half = logits_of(average.network, images)
    assert not torch.equal(half, before)
    assert torch.equal(half, fresh_logits(average.network, images))


def test_copies_are_apart(network: nn.Module, images: Tensor) -> None:
    expected = logits_of(network, images)
    other = copy.deepcopy(network)
    in_place(other)
    assert torch.equal(logits_of(network, images), expected)
    assert torch.equal(logits_of(other, images), fresh_logits(other, images))


def test_kernels_under_autocast_are_as_in_float32() -> None:
    layer = harmonic(4, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, layer.weight.float())
        assert layer.weight.dtype == torch.float32
        assert layer(torch.randn(1, 4, 8, 8)).dtype == torch.bfloat16


def test_compiled_networks_learn_and_are_evaluated(network: nn.Module, images: Tensor) -> None:
    """Without code generation; the graphs are those of `machine.compile=true`."""
    compiled = copy.deepcopy(network)
    compiled.compile(backend="aot_eager", dynamic=False)
    for one in (network, compiled):
        torch.manual_seed(1)
        logits_of(one, images)
        step(one)
    torch.testing.assert_close(dict(compiled.state_dict()), dict(network.state_dict()), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits_of(compiled, images), logits_of(network, images), atol=1e-2, rtol=1e-2)
    in_place(compiled)
    torch.testing.assert_close(logits_of(compiled, images), fresh_logits(compiled, images), atol=1e-2, rtol=1e-2)
