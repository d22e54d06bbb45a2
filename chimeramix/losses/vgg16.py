"""Perceptual loss on the features of a VGG-16 that was trained on ImageNet (GLICO, section 3.2).

This is extra data: a classifier that learns from images of a generator trained with it is not trained from scratch.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the network was trained with
_DEEPEST = (3, 8, 13, 20, 27)  # in torchvision's `features`: the ReLU after conv1_2, conv2_2, conv3_2, conv4_2, conv5_2
_SMALLEST = 16  # four poolings lie before conv5_2


class VGG16Loss(nn.Module):
    """Sum over five levels of the mean absolute difference of features.

    The levels are the paper's at every image size: conv1_2, conv2_2, conv3_2, conv4_2 and conv5_2, after the ReLU. They
    have equal weights; the paper speaks of a usually weighted average without giving weights.

    The published code takes the first three at 32 pixels, four at 64 and five above, with conv4_3 and the last pooling
    as fourth and fifth; where the third or the fourth is the last, it is taken before the ReLU. Above 64 pixels it adds
    four levels of both images reduced to a quarter of the side. Its images are in [-1, 1], not normalised as the
    network expects them.

    Args:
        weights: file with torchvision's weights, such as `vgg16-397923af.pth`.

    Raises:
        ValueError: where the file does not exist or holds something else.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        from torchvision.models import vgg16

        if weights is None:
            raise ValueError(
                "weights is not set: name a file with torchvision's VGG-16 (vgg16-397923af.pth), which was trained on "
                "ImageNet and therefore is extra data"
            )
        if not Path(weights).expanduser().is_file():
            raise ValueError(
                f"weights={weights}: no such file; download torchvision's VGG-16 (vgg16-397923af.pth) and name it here"
            )
        with torch.device("meta"):
            features = vgg16(weights=None).features
        try:
            stored = torch.load(Path(weights).expanduser(), weights_only=True)
            prefix = "features."
            own = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
            features.load_state_dict(own, assign=True)
        except Exception as error:  # whatever a file of another kind makes torch raise
            raise ValueError(f"weights={weights} does not hold torchvision's VGG-16") from error
        starts = (0, *(end + 1 for end in _DEEPEST))
        layers = list(features)
        self.stages = nn.ModuleList(
            nn.Sequential(*layers[start : end + 1]) for start, end in zip(starts, _DEEPEST, strict=False)
        )
        for layer in self.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # in place it would overwrite its input
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of images `[B, 3, H, W]` in [0, 1], at least 16 pixels a side."""
        if output.shape != target.shape or output.shape[1] != 3 or min(output.shape[-2:]) < _SMALLEST:
            raise ValueError(
                f"output and target must both be [batch, 3, height, width] of at least {_SMALLEST} pixels a side, "
                f"got {list(output.shape)} and {list(target.shape)}"
            )
        loss = output.new_zeros((), dtype=torch.float32)
        with torch.no_grad():
            wanted = (target - self.mean) / self.std
        features = (output - self.mean) / self.std
        for stage in self.stages:
            features = stage(features)
            with torch.no_grad():
                wanted = stage(wanted)
            loss = loss + F.l1_loss(features.float(), wanted.float())
        return loss
