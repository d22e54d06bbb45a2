"""The perceptual loss of ChimeraMix (Reinders et al. 2022, section 3.1), in place of a pretrained network's features.

The pyramid is Burt & Adelson's (1983); the number of levels, the borders and the sum without weights follow the
published code. The values are the same, computed another way: the pyramid is linear, so one pyramid of the images'
difference replaces two, and its filters are applied as matrices, because the gradient of CUDA's reflection padding is
not reproducible to the bit.
"""

import torch
from torch import Tensor, nn

from chimeramix.losses.precision import at_least_float32

_BINOMIAL = (1, 4, 6, 4, 1)  # over 16; the 5x5 kernel is its outer product
_SMALLEST = 3  # reflection by 2 needs 3 pixels


class LaplacianPyramidLoss(nn.Module):
    """L1 distance of Laplacian pyramids: the sum over the levels of the mean absolute difference.

    A level is the image minus its reduced and enlarged self. Reduction blurs with the 5x5 binomial kernel under
    reflection and keeps every second pixel; enlargement puts zeros in between and blurs with 4 times the kernel. What
    remains below the last level is not compared, so a constant offset costs nothing: this loss compares structure,
    and colours need another term.

    Args:
        levels: of the pyramid, at least 1; 3 in ChimeraMix (64, 32 and 16 pixels).

    Raises:
        ValueError: for `levels` below 1.
    """

    def __init__(self, levels: int = 3) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        self.levels = levels
        # Per image side, dtype and device; neither parameters nor buffers, since they follow from the side alone.
        self._filters: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss, computed in float32 (float64 for float64 input), under autocast too.

        Args:
            output, target: `[B, C, H, W]` float of one shape; odd sides are fine.

        Raises:
            ValueError: where the shapes differ, or where a level would be smaller than 3 pixels.
        """
        if output.ndim != 4 or output.shape != target.shape:
            raise ValueError(
                "output and target must both be [batch, channels, height, width], "
                f"got {list(output.shape)} and {list(target.shape)}"
            )
        self.check(min(output.shape[-2:]))
        with torch.autocast(output.device.type if output.device.type != "meta" else "cpu", enabled=False):
            dtype = at_least_float32(output)
            difference = output.to(dtype) - target.to(dtype)
            loss = difference.new_zeros(())
            for _ in range(self.levels):
                reduce_rows, enlarge_rows = self._filters_for(difference, dim=2)
                reduce_columns, enlarge_columns = self._filters_for(difference, dim=3)
                reduced = reduce_rows @ (difference @ reduce_columns.T)
                loss = loss + (difference - enlarge_rows @ (reduced @ enlarge_columns.T)).abs().mean()
                difference = reduced
            return loss

    def check(self, side: int) -> None:
        """Raises `ValueError` for images of which a level would be too small to be blurred."""
        smallest = side
        for _ in range(self.levels - 1):
            smallest = (smallest + 1) // 2
        if smallest < _SMALLEST:
            raise ValueError(
                f"a side of {side} pixels is too small for levels={self.levels}: the last would have {smallest}, "
                f"less than the {_SMALLEST} that the blur needs"
            )

    def _filters_for(self, image: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        key = (image.shape[dim], image.dtype, image.device)
        if key not in self._filters:
            # A first call under inference_mode must not leave tensors that autograd refuses later.
            with torch.inference_mode(False), torch.no_grad():
                reduce, enlarge = _pyramid_filters(image.shape[dim])
                self._filters[key] = (reduce.to(image.device, image.dtype), enlarge.to(image.device, image.dtype))
        return self._filters[key]


def _pyramid_filters(side: int) -> tuple[Tensor, Tensor]:
    """Reduction `[ceil(side/2), side]` and enlargement `[side, ceil(side/2)]` along one axis, float64 on the CPU.

    Column i of the blur's matrix is the blurred unit impulse at i. Reduction keeps every second row. Zeros in between
    make every second column of the blur irrelevant; per axis, 4 times the kernel is a factor of 2.
    """
    kernel = torch.tensor(_BINOMIAL, dtype=torch.float64, device="cpu") / sum(_BINOMIAL)
    impulses = torch.eye(side, dtype=torch.float64, device="cpu")
    padded = torch.cat([impulses[1:3].flip(0), impulses, impulses[-3:-1].flip(0)])
    blur = sum(weight * padded[tap : tap + side] for tap, weight in enumerate(kernel.tolist()))
    assert isinstance(blur, Tensor)
    return blur[::2].contiguous(), 2 * blur[:, ::2].contiguous()
