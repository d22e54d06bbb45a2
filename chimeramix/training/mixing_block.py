"""AutoMix's mixing block (Liu et al., ECCV 2022, section 3): masks for pairs of images from their feature maps."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.streams import RandomStream
from chimeramix.training.network_parts import features_at


class MixingBlock(nn.Module):
    """Cross attention between the feature maps of an image and its partner gives the partner's mask.

    Each position of the image looks for like positions of the partner; a 1x1 convolution says how much of the partner
    these are worth. As in the published code, one 1x1 convolution makes queries of the image and keys of the partner,
    the partner's mask comes from the partner's values, and the first image gets 1 minus it.

    Args:
        channels: of the feature maps, C.
        reduction: queries and keys have C // reduction channels, at least 1.
        rng: draws the weights, normal with deviation 0.01; biases start at 0.
    """

    def __init__(self, channels: int, reduction: int, rng: RandomStream) -> None:
        super().__init__()
        self.embedding = nn.utils.skip_init(nn.Conv2d, channels, max(channels // reduction, 1), 1)
        self.value = nn.utils.skip_init(nn.Conv2d, channels, 1, 1)
        with torch.no_grad():
            for layer in (self.embedding, self.value):
                layer.weight.copy_(0.01 * rng.normal(*layer.weight.shape))
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[B, C / reduction, h, w]` and values `[B, 1, h, w]` of feature maps `[B, C, h, w]`, which serve
        all masks of a batch."""
        return self.embedding(features), self.value(features)


def partner_mask(embeddings: Tensor, values: Tensor, order: Tensor, size: tuple[int, int]) -> Tensor:
    """The weight of each image's partner.

    Args:
        embeddings: `[B, D, h, w]`.
        values: `[B, 1, h, w]`.
        order: `[B]` int64, the partners' places in the batch.
        size: height and width of the images.

    Returns:
        `[B, 1, *size]` float32 in [0, 1]. Positions become areas of pixels by the nearest one.
    """
    height, width = values.shape[2:]
    kind = embeddings.device.type if embeddings.device.type != "meta" else "cpu"
    with torch.autocast(kind, enabled=False):
        queries = embeddings.float().flatten(2)
        keys, worth = queries[order], values.float().flatten(1)[order]
        similarity = queries.transpose(1, 2) @ keys / math.sqrt(queries.shape[1])
        score = similarity.softmax(2) @ worth.unsqueeze(2)
        return F.interpolate(score.view(-1, 1, height, width), size, mode="nearest").sigmoid()


def masks(
    network: nn.Module, layer: str, block: MixingBlock, images: Tensor, orders: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Partners' weights `[B, 1, S, S]` for two permutations of a batch; the second's pass no gradient on."""
    with torch.no_grad():
        features = features_at(network, layer, images)
    embeddings, values = block(features)
    first, second = orders
    height, width = images.shape[2:]
    trained = partner_mask(embeddings, values, first, (height, width))
    with torch.no_grad():
        return trained, partner_mask(embeddings, values, second, (height, width))
