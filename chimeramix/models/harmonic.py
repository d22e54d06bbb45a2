"""Harmonic networks (Ulicny, Krylov & Dahyot 2019; Pattern Recognition 129:108707): convolutions whose kernels are
weighted sums of the discrete cosine transform's basis functions.

kernel[o, i] = sum_f weight[o, f, i] D_f; the weights are learned, the filters D_f are fixed. The kernel is built from
the weights whenever a convolution asks for it, by one matrix product, and the convolution itself is an ordinary one. So
a kernel is never older than its weights. Where weights stay as they are, as in an evaluation, PyTorch's
`torch.nn.utils.parametrize.cached()` has each kernel built once.

As in the authors' code, all convolutions of more than one pixel are harmonic, and the first one, which sees the image,
is another: the image filtered by all D_f, normalised without learned factors, then mixed by a 1x1 convolution.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from chimeramix.models.resnet import resnet
from chimeramix.models.scattering import ParametricScattering
from chimeramix.models.wide_resnet import WideResNet

Levels = int | Sequence[int | None] | None
"""Which filters the convolutions have: see `HarmonicWideResNet`."""


def dct_filters(side: int, level: int | None = None) -> Tensor:
    """The DCT-II basis `[F, side, side]` in float64: cos(pi (x + 1/2) u / side) cos(pi (y + 1/2) v / side), divided by
    the sum of its absolute values, in the order of (u, v).

    Args:
        level: only frequencies with u + v below it; None for all side^2.

    Raises:
        ValueError: for a level outside 1 .. 2 side - 1.
    """
    if level is not None and not 1 <= level < 2 * side:
        raise ValueError(f"levels must be from 1 to {2 * side - 1} for kernels of {side} x {side}, got {level}")
    place = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(torch.pi * (place + 0.5) * place[:, None] / side)  # [frequency, place]
    below = 2 * side if level is None else level
    down, across = zip(*((u, v) for u in range(side) for v in range(side) if u + v < below), strict=True)
    filters = waves[list(down), :, None] * waves[list(across), None, :]
    return filters / filters.abs().sum((-2, -1), keepdim=True)


class HarmonicKernel(nn.Module):
    """The parametrisation of a convolution's kernel `[O, I, k, k]` by weights `[O, F, I]` of the filters.

    Input channels come last, in the weights and in the kernel's memory, because the whole step is then as fast as that
    of an ordinary convolution; with `[O, I, F]` it takes up to 1.6 times as long on a CPU.
    """

    filters: Tensor

    def __init__(self, side: int, level: int | None) -> None:
        super().__init__()
        self.register_buffer("filters", dct_filters(side, level).float(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        # In full precision: what autocast computes in is decided by the convolution.
        with torch.autocast(weight.device.type if weight.device.type != "meta" else "cpu", enabled=False):
            places = self.filters.flatten(1).t() @ weight  # [O, k * k, I]
        return places.unflatten(1, self.filters.shape[1:]).permute(0, 3, 1, 2)

    def right_inverse(self, kernel: Tensor) -> Tensor:
        """The weights whose kernel comes closest; the filters are orthogonal."""
        filters = self.filters.flatten(1)
        return (filters / filters.square().sum(1, keepdim=True)) @ kernel.flatten(2).transpose(1, 2)


class HarmonicStem(nn.Module):
    """Stands for a network's first convolution: each channel filtered by the whole basis, batch normalisation without
    parameters, a 1x1 convolution.

    Args:
        replaced: the convolution, whose kernel size, stride, padding, channels and bias it takes over.
    """

    filters: Tensor

    def __init__(self, replaced: nn.Conv2d) -> None:
        super().__init__()
        filters = dct_filters(replaced.kernel_size[0]).float()
        self.register_buffer("filters", filters.repeat(replaced.in_channels, 1, 1).unsqueeze(1), persistent=False)
        self.stride, self.padding = replaced.stride, replaced.padding
        self.norm = nn.BatchNorm2d(len(self.filters), affine=False)
        self.mix = nn.Conv2d(len(self.filters), replaced.out_channels, 1, bias=replaced.bias is not None)
        nn.init.kaiming_normal_(self.mix.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """`[B, channels, H / stride, W / stride]` of images `[B, 3, H, W]`."""
        filtered = F.conv2d(images, self.filters, stride=self.stride, padding=self.padding, groups=images.shape[1])
        mixed: Tensor = self.mix(self.norm(filtered))
        return mixed


def make_harmonic(groups: Sequence[nn.Module], levels: Levels) -> None:
    """Makes all convolutions of more than one pixel harmonic, in place, with fresh weights: Kaiming normal, fan out
    over the filters.

    Args:
        groups: the network's parts, from the first to the last.
        levels: one for all of them, or a list with one for each.

    Raises:
        ValueError: for a list of another length, and for levels out of range.
    """
    each = [levels] * len(groups) if levels is None or isinstance(levels, int) else list(levels)
    if len(each) != len(groups):
        raise ValueError(f"levels must be one number or a list of {len(groups)}, one for each group, got {each}")
    for group, level in zip(groups, each, strict=True):
        for module in list(group.modules()):
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
                register_parametrization(module, "weight", HarmonicKernel(module.kernel_size[0], level))
                weight = module.get_parameter("parametrizations.weight.original")
                # Fan out is read from [O, I, F].
                nn.init.kaiming_normal_(weight.transpose(1, 2), mode="fan_out", nonlinearity="relu")


class HarmonicWideResNet(WideResNet):
    """A WRN of harmonic convolutions.

    Args:
        num_classes, depth, width, dropout, stem_stride: see `WideResNet`.
        levels: None for all nine filters of 3x3; lambda for those with u + v < lambda (3: six, 2: three); a list with
            one such value for each of the three groups (the paper's progressive one is None, 3, 2). The first
            convolution always has all.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self,
        num_classes: int,
        depth: int,
        width: int,
        dropout: float = 0.0,
        stem_stride: int = 1,
        levels: Levels = None,
    ) -> None:
        super().__init__(num_classes, depth, width, dropout, stem_stride)
        self.stem = HarmonicStem(cast(nn.Conv2d, self.stem))
        make_harmonic(list(self.groups), levels)


def harmonic_resnet(
    num_classes: int,
    name: Literal["resnet18", "resnet50", "resnext50_32x4d"],
    stem: Literal["imagenet", "cifar"],
    levels: Levels = None,
) -> nn.Module:
    """A network of `chimeramix.models.resnet` with harmonic convolutions.

    Args:
        num_classes, name, stem: see `chimeramix.models.resnet`; the stem's max pooling stays.
        levels: see `HarmonicWideResNet`; a list has four values, one for each stage.

    Raises:
        ValueError: for values out of range.
    """
    network = resnet(num_classes, name, stem)
    network.conv1 = HarmonicStem(cast(nn.Conv2d, network.conv1))
    make_harmonic([network.get_submodule(f"layer{number}") for number in range(1, 5)], levels)
    return network


class HarmonicScattering(ParametricScattering):
    """A Parametric Scattering Network with harmonic convolutions behind the wavelets; the publications have none.

    Its first convolution sees coefficients, not images, and becomes an ordinary harmonic one with all filters.

    Args:
        num_classes, scales, orientations, learnable, channels: see `ParametricScattering`.
        levels: see `HarmonicWideResNet`; a list has two values, for the first four blocks and the last four.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self,
        num_classes: int,
        scales: int = 2,
        orientations: int = 8,
        learnable: bool = True,
        levels: Levels = None,
        channels: int = 128,
    ) -> None:
        super().__init__(num_classes, scales, orientations, learnable, channels)
        make_harmonic([self.network[2]], None)
        make_harmonic([self.network[5:9], self.network[9:13]], levels)
