"""Residual networks (He et al. 2016; ResNeXt: Xie et al. 2017) from torchvision, without pretrained weights.

ChimeraMix (Reinders et al. 2022, section 4.2) trains ResNet-50 on STL-10, as torchvision has it. MiAMix (Liang et al.
2023, section 4.1) trains ResNet-18 and ResNeXt-50 on images of 32 and 64 pixels and does not name the stem; most of its
baselines are OpenMixup's published numbers, which were made with the CIFAR stem.
"""

from typing import Any, Literal

from torch import nn

_NAMES = ("resnet18", "resnet50", "resnext50_32x4d")


def resnet(
    num_classes: int,
    name: Literal["resnet18", "resnet50", "resnext50_32x4d"],
    stem: Literal["imagenet", "cifar"],
) -> nn.Module:
    """A network from images `[B, 3, H, W]` to logits `[B, num_classes]`, freshly initialised. Its `mixing_layer`
    names the module whose feature maps AutoMix sees: the last but one stage.

    Args:
        num_classes: K, at least 2.
        name: torchvision's name of the network.
        stem: `imagenet` is torchvision's, a 7x7 convolution of stride 2 and a max pooling; `cifar` a 3x3 convolution
            of stride 1 without bias and no pooling.

    Raises:
        ValueError: for values out of range.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if name not in _NAMES:
        raise ValueError(f"name must be one of {', '.join(_NAMES)}, got {name}")
    if stem not in ("imagenet", "cifar"):
        raise ValueError(f"stem must be imagenet or cifar, got {stem}")
    from torchvision import models

    network: Any = getattr(models, name)(weights=None, num_classes=num_classes)
    if stem == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        # As torchvision initialises all other convolutions.
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    network.mixing_layer = "layer3"
    made: nn.Module = network
    return made
