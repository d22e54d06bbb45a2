"""Networks of ChimeraMix (Reinders et al. 2022, section 3.1 and supplement C.1): encoder, decoder, discriminator.

The layers follow CycleGAN's (Zhu et al. 2017). All weights keep PyTorch's default initialisation; instance norms have
neither parameters nor running statistics, so training and evaluation mode compute the same.

What the paper leaves open follows the published code: no instance norm in the discriminator's first block, biases in
the encoder's residual blocks but not in the decoder's (without effect before a norm). Where both disagree:

- Decoder's residual blocks: the published code computes them and throws the result away. The default applies them, as
  the paper says; `decoder_blocks="discarded"` leaves them out, which gives the same images without the unused weights.
- Discriminator's stride: 2 as in the published code; the paper says 1 (`stride=1`).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from chimeramix.generators.padding import ReflectionPad2d
from chimeramix.shares import combine


class Encoder(nn.Sequential):
    """Images `[B, 3, H, W]` to feature maps `[B, 4 features, H/4, W/4]`.

    Args:
        features: channels after the first convolution, doubled twice.
        blocks: residual blocks at the end.

    Raises:
        ValueError: for `features` below 1 or negative `blocks`; on a call, for sides that are not a multiple of 4 or
            below 8 pixels.
    """

    def __init__(self, features: int = 64, blocks: int = 2) -> None:
        _check(features, blocks)
        super().__init__(
            _normalised(features, ReflectionPad2d(3), nn.Conv2d(3, features, 7)),
            _normalised(2 * features, nn.Conv2d(features, 2 * features, 3, stride=2, padding=1)),
            _normalised(4 * features, nn.Conv2d(2 * features, 4 * features, 3, stride=2, padding=1)),
            *(ResidualBlock(4 * features, bias=True) for _ in range(blocks)),
        )

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 4 or width % 4 or min(height, width) < 8:
            raise ValueError(f"images must have sides that are multiples of 4 and at least 8, got {height}x{width}")
        return super().forward(images)


class Decoder(nn.Sequential):
    """Feature maps `[B, 4 features, h, w]` to images `[B, 3, 4h, 4w]` in (-1, 1).

    Args:
        features: channels before the last convolution.
        blocks: residual blocks at the beginning.

    Raises:
        ValueError: for `features` below 1 or negative `blocks`.
    """

    def __init__(self, features: int = 64, blocks: int = 2) -> None:
        _check(features, blocks)
        super().__init__(
            *(ResidualBlock(4 * features, bias=False) for _ in range(blocks)),
            _normalised(2 * features, nn.ConvTranspose2d(4 * features, 2 * features, 2, stride=2, bias=False)),
            _normalised(features, nn.ConvTranspose2d(2 * features, features, 2, stride=2, bias=False)),
            nn.Sequential(ReflectionPad2d(3), nn.Conv2d(features, 3, 7), nn.Tanh()),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norms and one ReLU between them, added to the input; keeps the shape."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalised(channels, ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)),
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.layers(inputs)


class ChimeraNetwork(nn.Module):
    """Encoder and decoder, between which the features of two or more images can be mixed.

    Args:
        features: channels at full resolution; the mixed features have 4 times as many.
        blocks: residual blocks of both parts together.
        split: how many of them the encoder gets, 0 to `blocks`: features are mixed after this many. The decoder gets
            the rest.
        decoder_blocks: `applied` (paper) or `discarded` (published code: the decoder's residual blocks do not
            contribute to its output, so here there are none).

    Attributes:
        encoder, decoder: the two parts.
        image_size: side of the square images that the network is trained for; set by the training.

    Raises:
        ValueError: for values out of range.
    """

    image_size: int

    def __init__(
        self,
        features: int = 64,
        blocks: int = 4,
        split: int = 2,
        decoder_blocks: Literal["applied", "discarded"] = "applied",
    ) -> None:
        super().__init__()
        if not 0 <= split <= blocks:
            raise ValueError(f"split must be between 0 and blocks ({blocks}), got {split}")
        if decoder_blocks not in ("applied", "discarded"):
            raise ValueError(f"decoder_blocks must be applied or discarded, got {decoder_blocks}")
        self.encoder = Encoder(features, split)
        self.decoder = Decoder(features, blocks - split if decoder_blocks == "applied" else 0)

    def encode(self, images: Tensor) -> Tensor:
        """Feature maps `[B, 4 features, H/4, W/4]` of images `[B, 3, H, W]` in [-1, 1].

        Raises:
            ValueError: for sides that are not a multiple of 4 or below 8 pixels.
        """
        return self.encoder(images)

    def decode(self, features: Tensor) -> Tensor:
        """Images `[B, 3, 4h, 4w]` in (-1, 1) from feature maps `[B, 4 features, h, w]`."""
        return self.decoder(features)

    @staticmethod
    def mix(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
        """`first * mask + second * (1 - mask)`: where the mask is 1, `first` itself, to the bit (Equation 1).

        Args:
            first, second: `[B, C, h, w]` feature maps.
            mask: `[B, 1, h, w]` or `[1, 1, h, w]` float in [0, 1].

        Raises:
            ValueError: for a mask of another shape, which would broadcast over the wrong axes.
        """
        batch, _, height, width = first.shape
        if mask.shape not in ((batch, 1, height, width), (1, 1, height, width)):
            raise ValueError(f"mask must be {[batch, 1, height, width]}, got {list(mask.shape)}")
        return torch.lerp(second, first, mask.to(first.dtype))

    @staticmethod
    def combine(features: Tensor, mask: Tensor) -> Tensor:
        """The same of feature maps `[N * B, C, h, w]` under a mask for two or more images; see
        `chimeramix.shares.combine`."""
        return combine(features, mask)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions `[B, 3, H, W]` in (-1, 1) of images `[B, 3, H, W]`."""
        return self.decode(self.encode(images))


class PatchDiscriminator(nn.Sequential):
    """The probability of being real, in (0, 1), per patch of images `[B, 3, H, W]`.

    With stride 2 the scores are `[B, 1, H/16, W/16]` (rounded down), with stride 1 `[B, 1, H - 4, W - 4]`.

    Args:
        features: channels of the first of four convolutions, doubled by each of the others.
        stride: of these four, 2 (published code) or 1 (paper); a fifth one of stride 1 makes the scores.

    Raises:
        ValueError: for `features` below 1 or another stride; on a call, for sides below 32 (stride 2) or 6 pixels.
    """

    def __init__(self, features: int = 64, stride: int = 2) -> None:
        _check(features)
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {stride}")

        def convolution(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, 4, stride=stride, padding=1)

        super().__init__(
            nn.Sequential(convolution(3, features), nn.LeakyReLU(0.2, inplace=True)),
            *(
                nn.Sequential(
                    convolution(channels, 2 * channels),
                    nn.InstanceNorm2d(2 * channels),
                    nn.LeakyReLU(0.2),
                )
                for channels in (features, 2 * features, 4 * features)
            ),
            # The even kernel loses one row and one column, which the padding puts back.
            nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(8 * features, 1, 4, padding=1), nn.Sigmoid()),
        )
        self._smallest = 32 if stride == 2 else 6

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < self._smallest:
            raise ValueError(f"images must have at least {self._smallest} pixels per side, got {height}x{width}")
        return super().forward(images)


def _normalised(channels: int, *layers: nn.Module) -> nn.Sequential:
    """The layers, which end with `channels` channels, followed by instance norm and ReLU."""
    # Not in place: an instance norm's result is a view, whose gradient autograd then copies four times over.
    return nn.Sequential(*layers, nn.InstanceNorm2d(channels), nn.ReLU())


def _check(features: int, blocks: int = 0) -> None:
    if features < 1:
        raise ValueError(f"features must be at least 1, got {features}")
    if blocks < 0:
        raise ValueError(f"blocks must not be negative, got {blocks}")
