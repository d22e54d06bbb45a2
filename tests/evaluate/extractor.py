"""A small feature extractor of torch-fidelity's interface: seven fixed random projections of an image reduced to 4 x 4,
so that no weights are needed."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

NAME = "projections"
SIZE = 7


class Projections(FeatureExtractorBase):
    """Takes its weights from a file where one is given."""

    def __init__(
        self, name: str, features: list[str], feature_extractor_weights_path: str | None = None, **_: Any
    ) -> None:
        super().__init__(name, features)
        if feature_extractor_weights_path is None:
            weights = torch.randn(SIZE, 48, generator=torch.Generator().manual_seed(0))
        else:
            weights = torch.load(Path(feature_extractor_weights_path))
        self.register_buffer("weights", weights)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        small = adaptive_avg_pool2d(images.float() / 255, 4).flatten(1)
        return (small @ self.weights.T,)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("projected",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "projected"

    @staticmethod
    def can_be_compiled() -> bool:
        return False


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, Projections)


def by_hand(images: Tensor, weights: Tensor | None = None) -> Tensor:
    """The same features in float64, the 4 x 4 means written out; for sides that are multiples of 4."""
    if weights is None:
        weights = torch.randn(SIZE, 48, generator=torch.Generator().manual_seed(0))
    side = images.shape[-1] // 4
    cells = images.double().reshape(len(images), 3, 4, side, 4, side).mean((3, 5)) / 255
    return torch.einsum("mchw,fchw->mf", cells, weights.double().view(SIZE, 3, 4, 4))
