"""Losses of classifiers: logits and soft targets to a scalar."""

import torch.nn.functional as F
from torch import Tensor, nn

from chimeramix.losses.precision import at_least_float32


class SoftTargetCrossEntropy(nn.Module):
    """Mean over the batch of `-sum_k targets[k] * log softmax(logits)[k]`.

    Args:
        label_smoothing: e in [0, 1): targets become `(1 - e) * targets + e / K` (Szegedy et al. 2016, section 7), mixed
            ones, too. That equals mixing smoothed labels, which a mixer's own `label_smoothing` does: set one of both.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss, float32 also for logits of half precision.

        Args:
            logits: `[B, K]` float.
            targets: `[B, K]` float, rows sum to 1; one-hot rows for hard labels.

        Raises:
            ValueError: where both differ in shape, such as for class numbers `[B]`.
        """
        _check_shapes(logits, targets)
        if self.label_smoothing:
            targets = (1 - self.label_smoothing) * targets + self.label_smoothing / targets.shape[1]
        return -(targets * logits.log_softmax(dim=1, dtype=at_least_float32(logits))).sum(dim=1).mean()


class CosineLoss(nn.Module):
    """Mean over the batch of `1 - cos(logits, targets)`; for a one-hot target of class y that is
    `1 - logits[y] / ||logits||` (Barz & Denzler 2020, Equation 3).

    The prediction is the largest logit, as usual. Gradients are much smaller than those of cross entropy.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss in [0, 2]; parameters and errors as for `SoftTargetCrossEntropy`."""
        _check_shapes(logits, targets)
        dtype = at_least_float32(logits)
        return (1 - F.cosine_similarity(logits.to(dtype), targets.to(dtype), dim=1)).mean()


class CosineCrossEntropyLoss(nn.Module):
    """The cosine loss plus a small cross entropy on a layer of its own (Barz & Denzler 2020, section 3.2).

    The normalised logits pass a ReLU, a batch normalisation and a linear layer into the cross entropy; the layers are
    trained with the classifier. The prediction stays the largest logit.

    Args:
        num_classes: `K`.
        weight: of the cross entropy (paper: 0.1).
    """

    def __init__(self, num_classes: int, weight: float = 0.1) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"weight must not be negative, got {weight}")
        self.weight = weight
        self.cosine = CosineLoss()
        self.cross_entropy = SoftTargetCrossEntropy()
        self.head = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(num_classes), nn.Linear(num_classes, num_classes))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss; parameters and errors as for `SoftTargetCrossEntropy`."""
        loss: Tensor = self.cosine(logits, targets)
        # A batch of one sample has no statistics.
        self.head[1].train(self.training and len(logits) > 1)
        embedding = F.normalize(logits.to(at_least_float32(logits)), dim=1)
        cross_entropy: Tensor = self.cross_entropy(self.head(embedding), targets)
        return loss + self.weight * cross_entropy


def _check_shapes(logits: Tensor, targets: Tensor) -> None:
    if logits.ndim != 2 or targets.shape != logits.shape:
        raise ValueError(
            f"logits and targets must both be [batch, classes], got {list(logits.shape)} and {list(targets.shape)}"
        )
