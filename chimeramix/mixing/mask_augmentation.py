"""Mask augmentation of MiAMix (Liang et al. 2023, section 3.4 and Table 4): masks are smoothed, rotated and sheared.

The paper names neither window sizes nor angles nor shears; the ranges here are ours. Values beyond the border are those
of the border, because the paper wants the mixing ratio kept: with zeros, a CutMix mask of mean 0.68 falls to 0.58.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from chimeramix.mixing.rows import Rows, replace_rows
from chimeramix.streams import RandomStream


class MaskAugmentation:
    """Smooths some masks, then rotates and shears some, drawn independently.

    Args:
        smoothing: probability of an average filter (paper: 0.5); its window is uniform among the odd sizes from 3 to
            7/32 of the image's side (7 at 32 pixels, 13 at 64).
        affine: probability of rotation and shear together (paper: 0.25), one bilinear warp about the centre.
        degrees: the rotation is uniform in (-degrees, degrees).
        shear: the shear along a row is uniform in (-shear, shear), in columns per row.
    """

    def __init__(
        self, smoothing: float = 0.5, affine: float = 0.25, degrees: float = 180.0, shear: float = 0.3
    ) -> None:
        for name, value in (("smoothing", smoothing), ("affine", affine)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if degrees < 0 or shear < 0:
            raise ValueError(f"degrees and shear must not be negative, got {degrees} and {shear}")
        self.smoothing = smoothing
        self.affine = affine
        self.degrees = degrees
        self.shear = shear
        # Per image side and device: they follow from these alone.
        self._filters: dict[tuple[int, int, torch.device], Tensor] = {}

    def __call__(self, masks: Tensor, eligible: Tensor, rng: RandomStream) -> Tensor:
        """Masks `[B, 1, H, W]` float32, some of the eligible ones (`[B]` bool) changed; values stay in [0, 1]."""

        def smoothed(rows: Rows) -> Tensor:
            return self.smooth(masks[rows], rng)

        def warped(rows: Rows) -> Tensor:
            return self.warp(masks[rows], rng)

        if self.smoothing > 0:
            masks = replace_rows(masks, eligible & (rng.uniform(len(masks)) < self.smoothing), smoothed, rng.in_graph)
        if self.affine > 0:
            masks = replace_rows(masks, eligible & (rng.uniform(len(masks)) < self.affine), warped, rng.in_graph)
        return masks

    def smooth(self, masks: Tensor, rng: RandomStream) -> Tensor:
        """`[B, 1, H, W]`: each averaged over a square window of its own size."""
        height, width = masks.shape[-2:]
        windows = self.windows(max(height, width))
        draw = rng.integers(len(windows), len(masks))
        with torch.autocast(masks.device.type, enabled=False):
            rows = self._filters_for(height, windows, masks.device)[draw]
            columns = self._filters_for(width, windows, masks.device)[draw]
            return (rows @ masks[:, 0] @ columns.mT).unsqueeze(1)

    def warp(self, masks: Tensor, rng: RandomStream) -> Tensor:
        """`[B, 1, H, W]`: each rotated and sheared about the centre by a draw of its own, in pixels whatever H / W."""
        height, width = masks.shape[-2:]
        angle = (2 * rng.uniform(len(masks)) - 1) * math.radians(self.degrees)
        shear = (2 * rng.uniform(len(masks)) - 1) * self.shear
        cosine, sine = angle.cos(), angle.sin()
        # Where in the mask the output's position (x, y) comes from, in pixels from the centre: a rotation of a shear.
        matrix = torch.stack([cosine, cosine * shear - sine, sine, sine * shear + cosine], dim=1).view(-1, 2, 2)
        # Coordinates of affine_grid are shares of half the side.
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float32, device=masks.device) + 0.5 - height / 2,
            torch.arange(width, dtype=torch.float32, device=masks.device) + 0.5 - width / 2,
            indexing="ij",
        )
        with torch.autocast(masks.device.type, enabled=False):
            source = torch.stack([x, y], dim=-1).view(1, -1, 2) @ matrix.mT
            source = source / torch.stack([x.new_full((), width / 2), x.new_full((), height / 2)])
            grid = source.view(-1, height, width, 2)
            return F.grid_sample(masks, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_filters": {}}  # other processes have other devices

    @staticmethod
    def windows(side: int) -> list[int]:
        """The odd window sizes that are drawn from at this side of the image."""
        return list(range(3, max(3, 7 * side // 32) + 1, 2))

    def _filters_for(self, side: int, windows: list[int], device: torch.device) -> Tensor:
        """`[windows, side, side]`: averages along one axis, as matrices."""
        key = (side, windows[-1], device)
        if key not in self._filters:
            with torch.inference_mode(False):
                self._filters[key] = torch.stack([_average(side, window) for window in windows]).to(device)
        return self._filters[key]


def _average(side: int, window: int) -> Tensor:
    """`[side, side]` float32: row i averages the positions i - window // 2 to i + window // 2, cut to the image."""
    sources = torch.arange(side)[:, None] + torch.arange(window) - window // 2
    one_hot = F.one_hot(sources.clamp(0, side - 1), side)
    return one_hot.float().mean(dim=1)
