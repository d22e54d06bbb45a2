"""Latent codes on the unit sphere and the networks that decode them (GLICO: Azuri & Weinshall 2021, published code).

Weights are initialised as in the published code, Xavier normal with gain sqrt(2); biases start at 0, where the
published code leaves them at PyTorch's random ones.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from chimeramix.generators.normalisation import Normalisation
from chimeramix.streams import RandomStream

_CODE_SPREAD = 0.01  # standard deviation of initial codes before they are normalised


def decoder(image_size: int, inputs: int) -> nn.Module:
    """From codes `[B, inputs]` to images `[B, 3, S, S]` in [0, 1].

    At 32 pixels two linear layers and two transposed convolutions, without normalisation; at 96 the same with three
    normalised ones (STL-10); at 64, 128 and 256 a DCGAN. The DCGAN and the STL-10 network end in a tanh, which is
    mapped to [0, 1]; in the published code for CUB its range [-1, 1] was compared with images in [0, 1].

    Raises:
        ValueError: for another image size.
    """
    if image_size == 32:
        layers: list[nn.Module] = [
            nn.Linear(inputs, 1024, bias=False),
            nn.LeakyReLU(0.2),
            nn.Linear(1024, 128 * 8 * 8, bias=False),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (128, 8, 8)),
            nn.ConvTranspose2d(128, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 3, 4, 2, 1),
            nn.Sigmoid(),
        ]
    elif image_size == 96:
        layers = [
            nn.Linear(inputs, 1024, bias=False),
            nn.LeakyReLU(0.2),
            nn.Linear(1024, 512 * 12 * 12, bias=False),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (512, 12, 12)),
            *_doubling(512, 256),
            *_doubling(256, 128),
            *_doubling(128, 64),
            nn.Conv2d(64, 3, 3, padding=1),
            nn.Tanh(),
            _HalfOpen(),
        ]
    elif image_size in (64, 128, 256):
        channels = 128 * image_size // 8
        first = nn.ConvTranspose2d(inputs, channels, 4, bias=False)
        layers = [nn.Unflatten(1, (inputs, 1, 1)), first, nn.BatchNorm2d(channels, momentum=0.001), nn.ReLU()]
        while channels > 128:
            layers += _doubling(channels, channels // 2, momentum=0.001)
            channels //= 2
        layers += [nn.ConvTranspose2d(128, 3, 4, 2, 1, bias=False), nn.Tanh(), _HalfOpen()]
    else:
        raise ValueError(f"image_size must be 32, 64, 96, 128 or 256, got {image_size}")
    network = nn.Sequential(*layers)
    network.apply(_initialise)
    return network


def _doubling(channels: int, out: int, momentum: float = 0.1) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(out, momentum=momentum), nn.ReLU()]


class _HalfOpen(nn.Module):
    """From tanh's range to [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return (images + 1) / 2


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_normal_(layer.weight, gain=math.sqrt(2))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def weak_classifier(image_size: int, num_classes: int) -> nn.Module:
    """From images `[B, 3, S, S]` in [0, 1] to logits: four convolutions of 64 channels, each halving the side.

    The published one ends in a softmax and is followed by another, in the loss; this one ends in logits.
    """
    layers: list[nn.Module] = []
    channels = 3
    for _ in range(4):
        layers += [
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.1),
            nn.MaxPool2d(2),
        ]
        channels = 64
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (image_size // 16) ** 2, num_classes))
    network.apply(_initialise)
    return network


def latent_classifier(latent_dim: int, num_classes: int) -> nn.Module:
    """From codes `[B, latent_dim]` to logits, three layers (ablation)."""
    network = nn.Sequential(
        nn.Linear(latent_dim, 512),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.4),
        nn.Linear(512, 1024),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.4),
        nn.Linear(1024, num_classes),
    )
    network.apply(_initialise)
    return network


class LatentNetwork(nn.Module):
    """One code per training image and the network that decodes codes.

    Args:
        image_size: S, see `decoder`.
        latent_dim: d.
        noise: `concatenated` to the code, after a linear layer of its own (published code, whose commands ask for it
            with CIFAR and not with CUB); `added` to it; or `none`.
        noise_size: values of the concatenated noise.
        noise_sigma: standard deviation of the noise; the paper gives none, the published code 0.15.
        mean, std: of the data set's normalisation, per channel.

    Attributes:
        codes: `[N, d]` of unit length, in the order of the subset.
    """

    def __init__(
        self,
        image_size: int,
        latent_dim: int = 128,
        noise: Literal["concatenated", "added", "none"] = "concatenated",
        noise_size: int = 100,
        noise_sigma: float = 0.15,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        if latent_dim < 2 or noise_size < 1:
            raise ValueError(
                f"latent_dim must be at least 2 and noise_size at least 1, got {latent_dim} and {noise_size}"
            )
        if noise not in ("concatenated", "added", "none"):
            raise ValueError(f"noise must be concatenated, added or none, got {noise}")
        if noise_sigma < 0:
            raise ValueError(f"noise_sigma must not be negative, got {noise_sigma}")
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.noise = noise
        self.noise_size = noise_size
        self.noise_sigma = noise_sigma
        concatenated = noise == "concatenated"
        self.decoder = decoder(image_size, latent_dim + (noise_size if concatenated else 0))
        self.noise_layer: nn.Module | None = None
        if concatenated:
            self.noise_layer = nn.Sequential(nn.Linear(noise_size, noise_size, bias=False), nn.LeakyReLU(0.2))
            self.noise_layer.apply(_initialise)
        self.codes = nn.Parameter(torch.zeros(0, latent_dim))
        self.normalisation = Normalisation(mean, std)

    def make_codes(
        self, labels: Tensor, num_classes: int, initial: Literal["random", "hypercube"], rng: RandomStream
    ) -> None:
        """One code for each label `[N]`: random, or near a vertex of the unit hypercube that stands for its class.

        The published code takes the hypercube's first vertices in counting order, which differ in the last digits
        only; here each class gets a random one. Images without label (-1) get random codes.
        """
        codes = _CODE_SPREAD * rng.normal(len(labels), self.latent_dim)
        if initial == "hypercube":
            vertices = rng.integers(2, num_classes, self.latent_dim).float()
            codes = codes + torch.where(labels[:, None] >= 0, vertices[labels.clamp(min=0)], 0)
        self.codes = nn.Parameter(F.normalize(codes, dim=1))

    def generate(self, codes: Tensor, rng: RandomStream) -> Tensor:
        """Images `[B, 3, S, S]` in [0, 1] from codes `[B, d]`, with fresh noise."""
        images: Tensor = self.decoder(self._with_noise(codes, rng))
        return images

    def _with_noise(self, codes: Tensor, rng: RandomStream) -> Tensor:
        """What the decoder takes: normalised codes and their noise."""
        if self.noise == "added":
            codes = codes + self.noise_sigma * rng.normal(*codes.shape)
        codes = F.normalize(codes, dim=1)
        if self.noise_layer is not None:
            noise = self.noise_sigma * rng.normal(len(codes), self.noise_size)
            codes = torch.cat([codes, self.noise_layer(noise)], dim=1)
        return codes

    @torch.no_grad()
    def estimate_statistics(self, batch_size: int) -> None:
        """Gives the decoder's batch normalisations, as their running statistics, the means over all codes, in batches
        as in training: with them the network makes in evaluation mode what it was trained to make.

        The published code stays in training mode, where an image depends on those of its batch. The running averages
        of the training, at the momentum of 0.001, keep a part of their first values for thousands of steps. Draws from
        a random stream of its own; does nothing where nothing is normalised.
        """
        rng = RandomStream(0, self.codes.device)
        batches = (self._with_noise(codes, rng) for codes in self.codes.split(batch_size))
        update_bn(batches, self.decoder)

    def decode(self, codes: Tensor, rng: RandomStream) -> Tensor:
        """Normalised images `[B, 3, S, S]` float32 from codes `[B, d]`, with fresh noise."""
        normalised: Tensor = self.normalisation(self.generate(codes, rng).float())
        return normalised

    def denormalize(self, images: Tensor) -> Tensor:
        """Normalised images in [0, 1]."""
        return self.normalisation.inverse(images)

    @staticmethod
    def interpolate(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        """Codes between two, see `slerp`."""
        return slerp(first, second, share)

    @torch.no_grad()
    def project(self) -> None:
        """Brings the codes back to the sphere."""
        self.codes.copy_(F.normalize(self.codes, dim=1))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # Before codes were made, the file decides how many there are.
        stored = state_dict.get(f"{prefix}codes")
        if stored is not None and len(self.codes) == 0:
            self.codes = nn.Parameter(stored.new_empty(stored.shape, device=self.codes.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def slerp(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Unit vectors on the great circle from `first` to `second` (both `[B, d]`), at `share` `[B, 1]` of the angle.

    Vectors that are (nearly) parallel or opposite are interpolated linearly, where the formula would divide by 0.
    """
    cosine = (first * second).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    sine = angle.sin()
    tiny = sine < 1e-4
    safe = torch.where(tiny, torch.ones_like(sine), sine)
    weights = ((1 - share) * angle).sin() / safe, (share * angle).sin() / safe
    first_weight = torch.where(tiny, 1 - share, weights[0])
    second_weight = torch.where(tiny, share, weights[1])
    return F.normalize(first_weight * first + second_weight * second, dim=1)
