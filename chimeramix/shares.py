"""Masks that divide the places of a composition among N images of a class: how many they are, and the composition.

Images, features and superpixels of N images of each of B samples are kept one after another: those of all B first
images, then those of their first partners, and so on. A mask for two images is the weight of the first; one for more
holds the share of each image, which sum to 1 at every place.
"""

import torch
from torch import Tensor


def images_of(mask: object) -> int:
    """Among how many images a mask divides places: what it says as `images`, or 2."""
    images: int = getattr(mask, "images", 2)
    return images


def combine(parts: Tensor, mask: Tensor) -> Tensor:
    """`sum_i M_i F_i` (`[B, C, h, w]`): where one image has the whole share, its values to the bit.

    Args:
        parts: `[N * B, C, h, w]` features or images of N images of each sample, in the order of this module.
        mask: float; `[B, 1, h, w]` or `[1, 1, h, w]`, the weight of the first of two images, or the shares
            `[B, N, h, w]` of more.

    Raises:
        ValueError: for a mask of another shape, which would broadcast over the wrong axes.
    """
    images = max(mask.shape[1], 2)
    batch, height, width = len(parts) // images, *parts.shape[-2:]
    allowed = [(batch, mask.shape[1], height, width), *([(1, 1, height, width)] if mask.shape[1] == 1 else [])]
    if batch * images != len(parts) or mask.shape not in allowed:
        raise ValueError(
            f"a mask {list(mask.shape)} does not fit {len(parts)} maps of {height}x{width}: of one channel it is for "
            "two images of each sample, of more it has a channel for each image"
        )
    mask = mask.to(parts.dtype)
    each = parts.chunk(images)
    if images == 2 and mask.shape[1] == 1:
        return torch.lerp(each[1], each[0], mask)
    # One image after another: only the shares are kept for the gradient, no product.
    mixed = each[0] * mask[:, :1]
    for number in range(1, images):
        mixed = torch.addcmul(mixed, each[number], mask[:, number : number + 1])
    return mixed


def pictures_of(mask: Tensor) -> Tensor:
    """`[B, 1, h, w]` in [0, 1]: white for the first image, black for the last, greys for those between."""
    if mask.shape[1] == 1:
        return mask
    levels = torch.linspace(1, 0, mask.shape[1], device=mask.device)
    return (mask * levels.view(1, -1, 1, 1)).sum(1, keepdim=True)
