"""MiAMix (Liang, Liang and Jia 2023): several layers of several mixing methods, merged into one mask per pair.

No code was published, and the paper is ambiguous in two places; parameters hold its readings, the workable one first:

- which image a drawn share lambda_i belongs to (`ratio`). Read literally, masks of mean lambda_i are multiplied, which
  leaves the first image 5 % of the weight at two layers and 0.3 % at three: no mixing, against the paper's Table 5. So
  lambda_i is the partner's share in layer i, and the mask's mean is 1 - lambda_i.
- how masks are summed (Equation 11, `merge="sum"`): the partner's weights are summed and clipped to 1; a sum of the
  masks themselves would leave the first image 95 %.

Line 14 of Algorithm 1 prints the label of the pair as y_j and the weight as lambda; read as y_t and lambda_merged.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from chimeramix.mixing.blend import BlendMask, PairMixer
from chimeramix.mixing.cutmix import BoxMask
from chimeramix.mixing.fmix import FourierMask
from chimeramix.mixing.gaussian import GaussianMask
from chimeramix.mixing.gridmix import LatticeMask
from chimeramix.mixing.mask_augmentation import MaskAugmentation
from chimeramix.mixing.mixup import ConstantMask
from chimeramix.mixing.rows import Rows, replace_rows
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream
from chimeramix.types import Batch

WEIGHTS = {"mixup": 2.0, "cutmix": 1.0, "fmix": 1.0, "gridmix": 1.0, "agmix": 1.0}  # Table 1


def default_methods() -> dict[str, BlendMask]:
    return {
        "mixup": ConstantMask(),
        "cutmix": BoxMask(),
        "fmix": FourierMask(),
        "gridmix": LatticeMask(),
        "gmix": GaussianMask("exact"),
        "agmix": GaussianMask("exact", anisotropic=True),
    }


class MiAMix(PairMixer):
    """Algorithm 1, for all samples of a batch at once; parameters of the paper's Table 1 are the defaults.

    For each sample: its partner is another view of a random image of the batch, or of itself; k layers are drawn, the
    partner's shares in them from a Dirichlet distribution of k + 1 parts, and for each layer a method that makes a mask
    of that ratio; masks with edges may be smoothed and warped; the masks are merged into one.

    Args:
        num_classes: `K`.
        methods: samplers of masks by name; None takes those of `default_methods`.
        weights: relative frequency by the methods' names; a method that isn't named isn't chosen. None: Table 1's, and
            1 for methods of one's own.
        layers: the numbers of layers among which k is drawn, uniformly; the paper's k_max = 2 is `(1, 2)`.
        alpha: parameter of the Dirichlet distribution (alpha, ..., alpha, k * alpha); the last part is left out.
        self_mixing: probability that a sample is its own partner. Label and image stay as they are then, but for the
            mixture of two views.
        augmentation: of the masks; None takes the paper's. `MaskAugmentation(0, 0)` leaves them as they are.
        merge: `product` of the masks, or clipped `sum` of the partner's weights (Table 7).
        label: weight of the labels: the mean of the `merged` mask, or the drawn, `original` ratio (Table 7).
        ratio: whether a drawn share is the partner's (`hole`) or the first image's, as the paper can be read
            (`literal`).
        second_view: whether the partner is a view that is augmented independently of the first image's (Algorithm 1).
            In your own training loop, pass it: `mixer(images, labels, second)`; without it, partners are images of the
            batch as it is, and self-mixing changes nothing.
        probability: share of batches that are mixed.
        views: makes second views; given by the run.

    Raises:
        ValueError: for values out of range, unknown names and weights that sum to 0.
    """

    if TYPE_CHECKING:

        def __call__(self, images: Tensor, labels: Tensor, second: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    def __init__(
        self,
        num_classes: int,
        methods: Mapping[str, BlendMask] | None = None,
        weights: Mapping[str, float] | None = None,
        layers: Sequence[int] = (1, 2),
        alpha: float = 1.0,
        self_mixing: float = 0.1,
        augmentation: MaskAugmentation | None = None,
        merge: Literal["product", "sum"] = "product",
        label: Literal["merged", "original"] = "merged",
        ratio: Literal["hole", "literal"] = "hole",
        second_view: bool = True,
        probability: float = 1.0,
        views: Callable[[Tensor], Batch] | None = None,
        rng: RandomStream | torch.Generator | int | None = None,
    ) -> None:
        super().__init__(num_classes, probability, rng)
        if not layers or min(layers) < 1:
            raise ValueError(f"layers must be numbers of at least 1, got {list(layers)}")
        if alpha < SMALLEST_CONCENTRATION:
            raise ValueError(f"alpha must be at least {SMALLEST_CONCENTRATION}, got {alpha}")
        if not 0 <= self_mixing <= 1:
            raise ValueError(f"self_mixing must be in [0, 1], got {self_mixing}")
        for name, value, choices in (
            ("merge", merge, ("product", "sum")),
            ("label", label, ("merged", "original")),
            ("ratio", ratio, ("hole", "literal")),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be {' or '.join(choices)}, got {value}")
        self.layers = tuple(layers)
        self.alpha = alpha
        self.self_mixing = self_mixing
        self.augmentation = MaskAugmentation() if augmentation is None else augmentation
        self.merge = merge
        self.label = label
        self.ratio = ratio
        self.second_view = second_view
        self.views = views
        usual = default_methods()
        methods = usual if methods is None else methods
        if weights is None:
            weights = {name: WEIGHTS.get(name, 0.0 if name in usual else 1.0) for name in methods}
        self._choose_among(methods, weights)

    def _choose_among(self, methods: Mapping[str, BlendMask], weights: Mapping[str, float]) -> None:
        for name, weight in weights.items():
            if name not in methods:
                close = difflib.get_close_matches(name, methods, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(f"weights.{name}: there is no such method among {', '.join(methods)}{hint}")
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights.{name} must not be negative, got {weight}")
        chosen = {name: float(weight) for name, weight in weights.items() if weight > 0}
        total = sum(chosen.values())
        if not chosen:
            raise ValueError("weights must not all be 0")
        self.methods = [methods[name] for name in chosen]
        shares = [weight / total for weight in chosen.values()]
        self._edges = [sum(shares[: number + 1]) for number in range(len(shares) - 1)]

    def check(self, image_size: int) -> None:
        for method in self.methods:
            method.check(image_size)

    def forward(self, images: Tensor, labels: Tensor, second: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As every mixer; `second` `[B, C, H, W]` holds the same images under other random augmentations."""
        batch = self.batch_of(images, labels)
        if second is not None and (second.shape != images.shape or second.dtype != images.dtype):
            raise ValueError(
                f"second must be like images, {images.dtype} {list(images.shape)}, "
                f"got {second.dtype} {list(second.shape)}"
            )
        images, targets = self.mix(replace(batch, second=second))
        return images, self.smooth(targets, labels)

    def draw(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        order = self._partners(len(batch), rng)
        partner = self._partner_images(batch, order)
        with torch.no_grad():
            mask, ratio = self.sample_masks(partner, rng)
        return order, partner, mask, ratio if self.label == "original" else None

    def sample_masks(self, partner: Tensor, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """Merged masks `[B, 1, H, W]` float32 and the drawn ratios `[B]`, both of the first image."""
        count, most = len(partner), max(self.layers)
        height, width = partner.shape[-2:]
        number, parts = self._layers(count, rng)
        active = (torch.arange(most, device=parts.device) < number[:, None]).flatten()
        ratio = (1 - parts if self.ratio == "hole" else parts).flatten()
        kind = self._kinds(count * most, rng)
        masks = partner.new_ones(count * most, 1, height, width, dtype=torch.float32)
        eligible = torch.zeros_like(active)
        for position, method in enumerate(self.methods):
            chosen = active & (kind == position)

            def made(rows: Rows, method: BlendMask = method) -> Tensor:
                return method(ratio[rows], self._of_each_layer(partner, most, rows), rng)

            masks = replace_rows(masks, chosen, made, rng.in_graph)
            if method.augmentable:
                eligible = eligible | chosen
        masks = self.augmentation(masks, eligible, rng).view(count, most, height, width)
        merged = masks.prod(dim=1) if self.merge == "product" else 1 - (1 - masks).sum(dim=1).clamp(max=1)
        drawn = parts.sum(dim=1)
        return merged.unsqueeze(1), 1 - drawn if self.ratio == "hole" else drawn

    def _layers(self, count: int, rng: RandomStream) -> tuple[Tensor, Tensor]:
        """The number of layers `[B]` and their parts of the Dirichlet draw `[B, most]`, 0 in layers that are not."""
        most = max(self.layers)
        draw = rng.integers(len(self.layers), count)
        number = sum((draw == position).long() * layers for position, layers in enumerate(self.layers))
        assert isinstance(number, Tensor)
        active = torch.arange(most, device=number.device) < number[:, None]
        concentration = self.alpha * torch.cat([active, number[:, None]], dim=1).float()
        return number, rng.dirichlet(concentration)[:, :most]

    def _kinds(self, count: int, rng: RandomStream) -> Tensor:
        """Which method each layer takes, `[count]` int64."""
        draw = rng.uniform(count)
        kind = torch.zeros_like(draw, dtype=torch.int64)
        for edge in self._edges:
            kind += draw >= edge
        return kind

    def _partners(self, count: int, rng: RandomStream) -> Tensor:
        order = rng.permutation(count)
        itself = rng.uniform(count) < self.self_mixing
        return torch.where(itself, torch.arange(count, device=order.device), order)

    def _partner_images(self, batch: Batch, order: Tensor) -> Tensor:
        if batch.second is not None:
            return batch.second[order]
        if self.second_view and self.views is not None and batch.index is not None:
            return self.views(batch.index[order]).images
        return batch.images[order]

    @staticmethod
    def _of_each_layer(partner: Tensor, most: int, rows: Rows) -> Tensor:
        """The partners `[n, C, H, W]` of some layers, which are numbered sample by sample."""
        if isinstance(rows, slice):
            return partner.repeat_interleave(most, dim=0)
        return partner[rows // most]
