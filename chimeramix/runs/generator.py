"""A trained generator for use, by `chimeramix.load_generator`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.config.schema import Config
from chimeramix.data.segments import SubsetSegments
from chimeramix.generators.normalisation import Normalisation
from chimeramix.mixing.chimera import ChimeraMix
from chimeramix.runs import build
from chimeramix.runs.drawn import Drawn, read_drawn
from chimeramix.runs.trained import read_generator, resizing_of, support_of
from chimeramix.shares import combine, images_of
from chimeramix.streams import RandomStream, derive_seed
from chimeramix.types import Batch


class TrainedGenerator(nn.Module):
    """What a finished generator's run made, frozen. Pixels are uint8 wherever they come in or out.

    A ChimeraMix generator composes and reconstructs any images. GLICO's has codes of its training images and gives what
    lies between two of them. SuperMix's is a store: `network.images` and `network.targets`. What a kind can't do raises
    `ValueError`.

    Attributes:
        network: with the trained weights; of ChimeraMix `encode` and `decode`, which take and give values normalised
            with the mean and standard deviation of the run's data set.
        classes: names of the K classes, in the order of the labels.
        image_size: S, side of the data set's images.
        positions: of the run's training images, in the training part of its data set.
        labels: of these, class numbers.
        mask_size: h, places on each side of a mask; None for generators that take none.
    """

    network: Any  # a module whose methods depend on the kind of generator

    def __init__(self, network: nn.Module, config: Config, drawn: Drawn, path: Path) -> None:
        super().__init__()
        source = build.source(config, needs_test=False)
        self.network = network
        self.classes = tuple(drawn.classes)
        self.image_size = source.image_size
        self.positions = tuple(drawn.indices)
        self.labels = tuple(drawn.labels)
        self._config = config
        self._path = path
        self._normalisation = Normalisation(source.mean, source.std)
        self._mask = build.mask_of(config.generator)
        self._align_corners = resizing_of(config) == "official"
        self._rows = {position: row for row, position in enumerate(drawn.indices)}
        self.requires_grad_(False).eval()

    @property
    def mask_size(self) -> int | None:
        return self.network.image_size // 4 if hasattr(self.network, "encode") else None

    @property
    def device(self) -> torch.device:
        """Where results are, and images are brought to."""
        return self._normalisation.mean.device

    @torch.no_grad()
    def compose(self, images: Tensor, mask: Tensor | None = None, seed: int = 0) -> Tensor:
        """Compositions of N images each, of one class as a rule.

        Args:
            images: `[N, B, 3, H, H]` uint8: of two images `torch.stack([first, second])`, each `[B, 3, H, H]`. The
                network was trained on images of side S, enlarged to its own side; others are brought to that, too.
            mask: float in [0, 1]; `[B, 1, h, h]`, the weight of the first of two images, or the shares `[B, N, h, h]`
                of N, which sum to 1 at each place; h is `mask_size`. None takes `draw_masks(images, seed)`.
            seed: of the masks that are drawn; a mask of one's own needs none.

        Returns:
            `[B, 3, H, H]` uint8 on the generator's device.

        Raises:
            ValueError: for other shapes, kinds and values, and for a generator that mixes no features.
        """
        self._check_encodes("compose")
        _check_images(images, 5, "[N, B, 3, H, H]")
        mask = self.draw_masks(images, seed) if mask is None else self._checked(mask, images)
        features = self.network.encode(self._enlarged(images.flatten(0, 1)))
        return self._pixels(self.network.decode(combine(features, mask)), images.shape[-1])

    def draw_masks(self, images: Tensor, seed: int = 0) -> Tensor:
        """Masks as the run drew them in its training.

        Args:
            images: as for `compose`; N must be the number of images that the run's mask is for. Their superpixels are
                computed where the mask needs them.
            seed: the same one gives the same masks on one kind of device.

        Returns:
            0 or 1, float32: `[B, 1, h, h]`, the weight of the first of two images, or the shares `[B, N, h, h]`.

        Raises:
            ValueError: for another number of images, and as `compose`.
        """
        self._check_encodes("draw_masks")
        _check_images(images, 5, "[N, B, 3, H, H]")
        assert self._mask is not None
        number, batch = images.shape[:2]
        if number != images_of(self._mask):
            raise ValueError(
                f"the run's mask is for {images_of(self._mask)} images, got {number}: give a mask of your own, too"
            )
        flat, segments = images.flatten(0, 1), None
        if self._mask.segmentation is not None:
            mean, std = self._normalisation.mean.flatten().tolist(), self._normalisation.std.flatten().tolist()
            superpixels = SubsetSegments(
                flat.cpu(), flat.shape[-1], self._mask.segmentation, mean, std, device=self.device
            )
            segments = superpixels.labels
        parts = slice(None, batch), slice(batch, None)
        views = self._normalised(flat)
        none = torch.zeros(len(flat), dtype=torch.int64, device=self.device)
        first, partner = (
            Batch(views[part], none[part], None, None if segments is None else segments[part]) for part in parts
        )
        assert self.mask_size is not None
        return self._mask(first, partner, self.mask_size, RandomStream(derive_seed(seed, "mixing"), self.device))

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """What the generator gives back of images that nothing is mixed into: `[B, 3, H, H]` uint8 of the same. Raises
        `ValueError` as `compose`."""
        self._check_encodes("reconstruct")
        _check_images(images, 4, "[B, 3, H, H]")
        return self._pixels(self.network.decode(self.network.encode(self._enlarged(images))), images.shape[-1])

    @torch.no_grad()
    def between(
        self, first: Sequence[int], second: Sequence[int], weight: float | Sequence[float], seed: int = 0
    ) -> Tensor:
        """Images between two training images each, along the sphere of GLICO's codes.

        Args:
            first, second: B positions each in the training part of the data set, which are among `positions`.
            weight: shares in [0, 1] of the way from the first to the second, B or one for all; 0 gives back the first.
            seed: of the decoder's noise.

        Returns:
            `[B, 3, S, S]` uint8 on the generator's device.

        Raises:
            ValueError: for other positions and weights, and for a generator without codes.
        """
        if not hasattr(self.network, "codes"):
            raise ValueError(f"between needs a generator with codes, of GLICO; {self._path} has none")
        if len(first) != len(second) or not len(first):
            raise ValueError(f"first and second must be equally many positions, got {len(first)} and {len(second)}")
        weights = torch.as_tensor(weight, dtype=torch.float32, device=self.device).reshape(-1)
        if len(weights) not in (1, len(first)) or not bool(((weights >= 0) & (weights <= 1)).all()):
            raise ValueError(f"weight must be one number in [0, 1], or {len(first)} of them, got {weight}")
        codes = [self.network.codes[self._rows_of(positions)] for positions in (first, second)]
        mixed = self.network.interpolate(*codes, weights.expand(len(first))[:, None])
        made = self.network.decode(mixed, RandomStream(derive_seed(seed, "mixing"), self.device))
        return self._pixels(made, self.image_size)

    def mixer(
        self,
        images: Tensor,
        labels: Tensor,
        probability: float = 0.5,
        include_self: bool = True,
        rng: int | None = None,
        num_classes: int | None = None,
    ) -> ChimeraMix:
        """The mixer for a training loop, as `chimeramix.mixing.ChimeraMix.from_run` makes it; it shares the network.

        Args:
            images, labels, probability, include_self, rng, num_classes: as there.

        Raises:
            UserError, ValueError: as there.
        """
        self._check_encodes("mixer")
        given = support_of(self._path, self._config, self.network, images, labels, self.device, rng, num_classes)
        return ChimeraMix(**given, probability=probability, include_self=include_self)

    def _check_encodes(self, asked: str) -> None:
        if not hasattr(self.network, "encode"):
            raise ValueError(f"{asked} needs a generator that encodes images, of ChimeraMix; {self._path} has none")

    def _rows_of(self, positions: Sequence[int]) -> Tensor:
        unknown = sorted({int(position) for position in positions} - self._rows.keys())
        if unknown:
            raise ValueError(f"{unknown} are no positions of the run's training images; see `positions`")
        return torch.tensor([self._rows[int(position)] for position in positions], device=self.device)

    def _checked(self, mask: Tensor, images: Tensor) -> Tensor:
        number, batch = images.shape[:2]
        size = self.mask_size
        allowed = [[batch, number, size, size], *([[batch, 1, size, size]] if number == 2 else [])]
        if not mask.is_floating_point() or list(mask.shape) not in allowed:
            shapes = " or ".join(map(str, reversed(allowed)))
            raise ValueError(f"mask must be float {shapes}, got {mask.dtype} {list(mask.shape)}")
        whole = mask.shape[1] == 1 or torch.allclose(mask.sum(1), torch.ones_like(mask[:, 0]), atol=1e-3)
        if not bool(((mask >= 0) & (mask <= 1)).all()) or not whole:
            raise ValueError("mask must have values in [0, 1], and those of several images a sum of 1 at each place")
        return mask.to(self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        normalised: Tensor = self._normalisation(images.to(self.device).float() / 255)
        return normalised

    def _enlarged(self, images: Tensor) -> Tensor:
        return self._resized(self._normalised(images), self.network.image_size)

    def _pixels(self, images: Tensor, size: int) -> Tensor:
        resized = self._resized(images.float(), size)
        return (self._normalisation.inverse(resized).clamp(0, 1) * 255).round().byte()

    def _resized(self, images: Tensor, size: int) -> Tensor:
        return resized(images, size, self._align_corners)


def resized(images: Tensor, size: int, align_corners: bool) -> Tensor:
    """`[B, 3, S, S]` float with another side, as `ChimeraMix` resizes between the data set's and the generator's."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=align_corners)


def _check_images(images: Tensor, dimensions: int, shape: str) -> None:
    fits = images.ndim == dimensions and images.shape[-3] == 3 and images.shape[-1] == images.shape[-2]
    if images.dtype != torch.uint8 or not fits or not images.numel():
        raise ValueError(f"images must be uint8 {shape}, got {images.dtype} {list(images.shape)}")
    if dimensions == 5 and len(images) < 2:
        raise ValueError(f"images must be two or more of each composition, got {list(images.shape)}")


def load_generator(path: str | Path, device: torch.device | str = "cpu") -> TrainedGenerator:
    """See `chimeramix.load_generator`."""
    folder = Path(path)
    _, config, network = read_generator(folder)
    return TrainedGenerator(network, config, read_drawn(folder), folder).to(device)
