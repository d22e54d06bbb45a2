"""TrivialAugment (Müller and Hutter 2021) and AutoAugment (Cubuk et al. 2019), batched, as in torchvision.

Each sample's operation is drawn on the host: drawn on the device, it would have to be read back, a synchronisation.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from chimeramix.augment.operations import OPERATIONS, SETTINGS, apply_operations
from chimeramix.streams import RandomStream

_CODES = {name: code for code, name in enumerate(OPERATIONS)}


class Draw(NamedTuple):
    """One operation for each sample, on the host.

    Attributes:
        operation: `[B]` int64, positions in `OPERATIONS`.
        level: `[B]` int64, positions among the magnitudes; means nothing for operations without one.
        negative: `[B]` bool, whether the magnitude changes its sign; means nothing for operations without one.
    """

    operation: Tensor
    level: Tensor
    negative: Tensor


class _Policy:
    """Draws operations and applies them; subclasses say what is drawn and which magnitudes the levels stand for."""

    recordable = False  # the host draws, so that only the drawn operations are computed

    def __init__(self) -> None:
        self._settings: dict[int, Tensor] = {}

    def magnitudes(self, size: int) -> dict[str, Tensor]:
        """The levels' magnitudes `[levels]`, without sign, of every operation that has one."""
        raise NotImplementedError

    def draw(self, batch: int, generator: torch.Generator) -> list[Draw]:
        """What is applied in turn to a batch; the number of draws does not depend on their outcome."""
        raise NotImplementedError

    def __call__(self, images: Tensor, segments: Tensor | None, rng: RandomStream) -> tuple[Tensor, Tensor | None]:
        """Takes `[B, 3, S, S]` uint8 and `[B, S, S]`; raises `ValueError` for other images.

        Geometric operations move segments along with the images. Pixels from outside an image are 0; segments
        have no label for that and continue the nearest border pixel.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != (3, images.shape[2], images.shape[2]):
            raise ValueError(
                f"{type(self).__name__} takes square RGB images [batch, 3, side, side] of uint8, "
                f"got {images.dtype} {list(images.shape)}"
            )
        settings = self._settings_of(images.shape[-1])
        for operation, level, negative in self.draw(len(images), rng.host):
            chosen = settings[operation, level, negative.long()]
            images, segments = apply_operations(images, segments, operation, chosen)
        return images, segments

    def _settings_of(self, size: int) -> Tensor:
        """`[operations, levels, 2, 6]` float32, the third axis for the sign; computed once for each image size."""
        if size not in self._settings:
            self._settings[size] = _settings_table(self.magnitudes(size), size)
        return self._settings[size]


def _settings_table(magnitudes: dict[str, Tensor], size: int) -> Tensor:
    levels = len(magnitudes["Rotate"])
    table = torch.zeros(len(OPERATIONS), levels, 2, SETTINGS)
    for name, values in magnitudes.items():
        operation = OPERATIONS[name]
        for level, value in enumerate(values.tolist()):
            for negative in (0, 1):
                numbers = operation.settings(-value if negative and operation.signed else value, size)
                table[_CODES[name], level, negative, : len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
    return table


def _magnitudes(
    levels: int, *, shear: float, shift: float, angle: float, weight: float, bits: int
) -> dict[str, Tensor]:
    """Each operation's `[levels]` magnitudes, from none to the largest one given."""
    weights = torch.linspace(0, weight, levels)
    return {
        "ShearX": torch.linspace(0, shear, levels),
        "ShearY": torch.linspace(0, shear, levels),
        "TranslateX": torch.linspace(0, shift, levels),
        "TranslateY": torch.linspace(0, shift, levels),
        "Rotate": torch.linspace(0, angle, levels),
        "Brightness": weights,
        "Color": weights,
        "Contrast": weights,
        "Sharpness": weights,
        "Posterize": (8 - torch.arange(levels) / ((levels - 1) / bits)).round(),
        "Solarize": torch.linspace(1, 0, levels),
    }


class TrivialAugment(_Policy):
    """One operation per image, of random strength: torchvision's `TrivialAugmentWide`.

    The operation is uniform among 14 (all but Invert), the strength uniform among the levels, the sign fair.

    Args:
        num_magnitude_bins: levels of strength, at least 2.
    """

    def __init__(self, num_magnitude_bins: int = 31) -> None:
        if num_magnitude_bins < 2:
            raise ValueError(f"num_magnitude_bins must be at least 2, got {num_magnitude_bins}")
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins

    def magnitudes(self, size: int) -> dict[str, Tensor]:
        return _magnitudes(self.num_magnitude_bins, shear=0.99, shift=32, angle=135, weight=0.99, bits=6)

    def draw(self, batch: int, generator: torch.Generator) -> list[Draw]:
        operation = torch.randint(_CODES["Invert"], (batch,), generator=generator)  # Invert is the last one
        level = torch.randint(self.num_magnitude_bins, (batch,), generator=generator)
        return [Draw(operation, level, torch.rand(batch, generator=generator) < 0.5)]


class AutoAugment(_Policy):
    """One of 25 learned pairs of operations per image: torchvision's `AutoAugment`.

    The pair is uniform; each of its two operations is applied with a probability and a strength of its own, with a
    fair sign. The pairs were learned on a whole data set, so a training on a part of it profits from the rest.

    Args:
        policy: the data set that the pairs were learned on; `cifar10` for ciFAIR, `imagenet` for STL-10.
    """

    def __init__(self, policy: Literal["cifar10", "imagenet"]) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy must be {' or '.join(POLICIES)}, got {policy}")
        super().__init__()
        pairs = POLICIES[policy]
        self._operation = torch.tensor([[_CODES[name] for name, _, _ in pair] for pair in pairs])
        self._probability = torch.tensor([[probability for _, probability, _ in pair] for pair in pairs])
        self._level = torch.tensor([[level or 0 for _, _, level in pair] for pair in pairs])

    def magnitudes(self, size: int) -> dict[str, Tensor]:
        return _magnitudes(10, shear=0.3, shift=150 / 331 * size, angle=30, weight=0.9, bits=4)

    def draw(self, batch: int, generator: torch.Generator) -> list[Draw]:
        pair = torch.randint(len(self._operation), (batch,), generator=generator)
        applied = torch.rand(batch, 2, generator=generator) < self._probability[pair]
        negative = torch.rand(batch, 2, generator=generator) < 0.5
        operation = torch.where(applied, self._operation[pair], _CODES["Identity"])
        level = self._level[pair]
        return [Draw(operation[:, turn], level[:, turn], negative[:, turn]) for turn in (0, 1)]


Step = tuple[str, float, int | None]
"""Operation, probability, level 0..9 (None: has no strength)."""

POLICIES: dict[str, list[tuple[Step, Step]]] = {
    "cifar10": [
        (("Invert", 0.1, None), ("Contrast", 0.2, 6)),
        (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
        (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
        (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
        (("AutoContrast", 0.5, None), ("Equalize", 0.9, None)),
        (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
        (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
        (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
        (("Equalize", 0.6, None), ("Equalize", 0.5, None)),
        (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
        (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
        (("Equalize", 0.3, None), ("AutoContrast", 0.4, None)),
        (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
        (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
        (("Solarize", 0.5, 2), ("Invert", 0.0, None)),
        (("Equalize", 0.2, None), ("AutoContrast", 0.6, None)),
        (("Equalize", 0.2, None), ("Equalize", 0.6, None)),
        (("Color", 0.9, 9), ("Equalize", 0.6, None)),
        (("AutoContrast", 0.8, None), ("Solarize", 0.2, 8)),
        (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
        (("Solarize", 0.4, 5), ("AutoContrast", 0.9, None)),
        (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
        (("AutoContrast", 0.9, None), ("Solarize", 0.8, 3)),
        (("Equalize", 0.8, None), ("Invert", 0.1, None)),
        (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, None)),
    ],
    "imagenet": [
        (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
        (("Solarize", 0.6, 5), ("AutoContrast", 0.6, None)),
        (("Equalize", 0.8, None), ("Equalize", 0.6, None)),
        (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
        (("Equalize", 0.4, None), ("Solarize", 0.2, 4)),
        (("Equalize", 0.4, None), ("Rotate", 0.8, 8)),
        (("Solarize", 0.6, 3), ("Equalize", 0.6, None)),
        (("Posterize", 0.8, 5), ("Equalize", 1.0, None)),
        (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
        (("Equalize", 0.6, None), ("Posterize", 0.4, 6)),
        (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
        (("Rotate", 0.4, 9), ("Equalize", 0.6, None)),
        (("Equalize", 0.0, None), ("Equalize", 0.8, None)),
        (("Invert", 0.6, None), ("Equalize", 1.0, None)),
        (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
        (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
        (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
        (("Sharpness", 0.4, 7), ("Invert", 0.6, None)),
        (("ShearX", 0.6, 5), ("Equalize", 1.0, None)),
        (("Color", 0.4, 0), ("Equalize", 0.6, None)),
        (("Equalize", 0.4, None), ("Solarize", 0.2, 4)),
        (("Solarize", 0.6, 5), ("AutoContrast", 0.6, None)),
        (("Invert", 0.6, None), ("Equalize", 1.0, None)),
        (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
        (("Equalize", 0.8, None), ("Equalize", 0.6, None)),
    ],
}
"""The learned pairs of Cubuk et al. 2019, appendix A."""
