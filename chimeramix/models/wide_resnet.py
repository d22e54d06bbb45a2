"""Wide residual networks (Zagoruyko & Komodakis 2016, section 2) in their pre-activation form for small images.

Where paper and the authors' code leave a choice, this follows the code: a shortcut that has to widen is a 1x1
convolution of the *activated* input, and no convolution has a bias. Deviation: the last pooling takes the mean over
all remaining positions (8x8 at 32 pixels), so any image size works.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.models.dropout import Dropout


class WideResNet(nn.Module):
    """WRN-depth-width: a 3x3 convolution, three groups of (depth - 4) / 6 blocks, pooling and a linear layer.

    The groups have 16, 32 and 64 times `width` channels and start with strides 1, 2 and 2.

    Args:
        num_classes: K, at least 2.
        depth: number of convolutions, of the form 6n + 4: 10, 16, 22, 28, ...
        width: factor on the channels, at least 1.
        dropout: probability between the convolutions of each block, in [0, 1).
        stem_stride: of the first convolution, at least 1; 2 for images of 96 pixels (Ulicny et al. 2019, on STL-10).

    Raises:
        ValueError: for values out of range.
    """

    def __init__(self, num_classes: int, depth: int, width: int, dropout: float = 0.0, stem_stride: int = 1) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth must be 6n + 4 with n at least 1 (10, 16, 22, 28, ...), got {depth}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if stem_stride < 1:
            raise ValueError(f"stem_stride must be at least 1, got {stem_stride}")
        channels = 16
        self.stem: nn.Module = nn.Conv2d(3, channels, 3, stride=stem_stride, padding=1, bias=False)
        groups = []
        for group_channels, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            blocks = []
            for number in range((depth - 4) // 6):
                blocks.append(WideBlock(channels, group_channels, stride if number == 0 else 1, dropout))
                channels = group_channels
            groups.append(nn.Sequential(*blocks))
        self.groups = nn.Sequential(*groups)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Convolutions N(0, 2 / (kernel area * output channels)), bias of the linear layer 0; batch norms start as the
        identity by default."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, num_classes]` of images `[B, 3, H, W]`."""
        features = F.relu(self.norm(self.groups(self.stem(images))), inplace=True)
        return self.head(features.mean(dim=(2, 3)))


class WideBlock(nn.Module):
    """Batch norm, ReLU, 3x3 convolution, batch norm, ReLU, dropout, 3x3 convolution; added to the shortcut.

    Takes `[B, before, H, W]` to `[B, after, H / stride, W / stride]` (rounded up). A stride other than 1 comes with a
    change of channels.
    """

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        # Without dropout none of its random numbers are drawn either.
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.shortcut = None if before == after else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        activated = F.relu(self.norm1(inputs), inplace=True)
        hidden = F.relu(self.norm2(self.conv1(activated)), inplace=True)
        shortcut = inputs if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.conv2(self.dropout(hidden))
