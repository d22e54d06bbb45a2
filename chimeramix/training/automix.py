"""AutoMix (Liu et al., ECCV 2022): a small block learns, beside the classifier, which parts of two images to show.

The block (`chimeramix.training.mixing_block`) sees feature maps of a momentum network k, an average of the classifier
q's weights along the training. A step draws two ratios from Beta(alpha, alpha) and two permutations of the batch, one
for each purpose:

- the block learns by k's loss on images mixed under its masks, whose gradient passes through k and changes the block
  only, and by a mask loss: partners' weights should be 1 - ratio on the average;
- q learns by its losses on the clean images and on images that are mixed under masks which pass no gradient on. Where a
  ratio is so extreme that a mask has nothing to decide, these are MixUp's.

Labels are mixed by the drawn ratio. It is no mixer for other training loops: its masks depend on a network that trains
along, and what it learns from is a part of the step.

A step computes about 2.9 times what a plain one does: q's passes for clean and mixed images, forward and backward; k's
for the block's images, backward to these only; and k's features of the clean images.

Numbers follow the published code (openmixup). There clean and mixed images have a last layer each, all four heads (of q
and of k) are evaluated, and the best of them on the test images is reported. Here the result is q's head for clean
images; that for mixed ones is a variant in the record, and k is not evaluated. Further deviations: the second head
starts as a copy of the first (there both are drawn), k is run no further than the features need, and k's average
includes the running statistics of batch normalisation, which nothing here reads.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chimeramix.data.views import Views
from chimeramix.optimize import Schedule, minimise
from chimeramix.streams import SMALLEST_CONCENTRATION, RandomStream, RunStreams
from chimeramix.training.averages import AveragedWeights
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.mixing_block import MixingBlock, masks
from chimeramix.training.network_parts import features_at, last_layer, with_own_layer
from chimeramix.training.procedure import Procedure
from chimeramix.types import Batch


class AutoMix(Procedure):
    """The algorithm's parameters.

    Args:
        layer: name of the model's module whose feature maps `[B, C, h, w]` the block sees, as in `named_modules`; None
            for the model's own `mixing_layer`, in WideResNets and ResNets the last but one stage.
        alpha: ratios are from Beta(alpha, alpha), one for the batch.
        reduction: the block compares features of C // reduction channels.
        momentum: share of itself that k keeps in a step, at first. Trainings of few thousand steps need less than the
            published 0.999, with which k still holds a part of the first weights.
        end_momentum: the same at the end, reached along half a cosine.
        constant_momentum: share of the training in which it stays at first.
        mask_weight: of the mask loss.
        mask_margin: how far the mean of the partners' weights in a batch may be from 1 - ratio without loss.
        ratio_margin: q gets MixUp where the ratio or 1 - ratio is at most this.
        separate_heads: whether q has a last layer for clean images and one for mixed ones, or one for both.
        block_rate: factor on the learning rate for the block.
        block_schedule: of the block's learning rate; None for that of the model.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self,
        layer: str | None = None,
        alpha: float = 2.0,
        reduction: int = 2,
        momentum: float = 0.999,
        end_momentum: float = 0.999999,
        constant_momentum: float = 0.1,
        mask_weight: float = 0.1,
        mask_margin: float = 0.1,
        ratio_margin: float = 0.08,
        separate_heads: bool = True,
        block_rate: float = 1.0,
        block_schedule: Schedule | None = None,
    ) -> None:
        if alpha < SMALLEST_CONCENTRATION or reduction < 1:
            raise ValueError(
                f"alpha must be at least {SMALLEST_CONCENTRATION} and reduction at least 1, got {alpha} and {reduction}"
            )
        if not 0 <= momentum <= end_momentum <= 1:
            raise ValueError(
                f"momentum must be in [0, end_momentum], that at most 1, got {momentum} and {end_momentum}"
            )
        if not 0 <= constant_momentum <= 1:
            raise ValueError(f"constant_momentum must be in [0, 1], got {constant_momentum}")
        if mask_weight < 0 or mask_margin < 0:
            raise ValueError(f"mask_weight and mask_margin must not be negative, got {mask_weight} and {mask_margin}")
        if not 0 <= ratio_margin <= 0.5:
            raise ValueError(f"ratio_margin must be in [0, 0.5], got {ratio_margin}")
        if block_rate < 0:
            raise ValueError(f"block_rate must not be negative, got {block_rate}")
        self.layer = layer
        self.alpha = alpha
        self.reduction = reduction
        self.momentum = momentum
        self.end_momentum = end_momentum
        self.constant_momentum = constant_momentum
        self.mask_weight = mask_weight
        self.mask_margin = mask_margin
        self.ratio_margin = ratio_margin
        self.separate_heads = separate_heads
        self.block_rate = block_rate
        self.block_schedule = block_schedule

    def training(self, plain: ClassifierTraining, streams: RunStreams, unlabelled: Views | None) -> "AutoMixTraining":
        if any(True for _ in plain.loss.parameters()):
            raise ValueError(
                f"AutoMix takes a loss without weights of its own, {type(plain.loss).__name__} has some: choose "
                "loss=cross_entropy or loss=cosine"
            )
        return AutoMixTraining.instead_of(plain, algorithm=self, rng=streams["mixing"])

    def check(self, model: nn.Module, num_classes: int, image_size: int) -> None:
        self.channels(model, image_size)
        if self.separate_heads:
            last_layer(model, num_classes)

    def channels(self, model: nn.Module, image_size: int) -> int:
        """Of the feature maps. Raises `ValueError` where the model has none."""
        name, kind = self.layer_of(model), type(model).__name__
        if name not in dict(model.named_modules()):
            raise ValueError(f"procedure.layer={name}: {kind} has no module of this name")
        device = next(model.parameters()).device
        was_training = model.training
        with torch.no_grad():
            features = features_at(model.eval(), name, torch.zeros(2, 3, image_size, image_size, device=device))
        model.train(was_training)
        if not isinstance(features, Tensor) or features.ndim != 4:
            shape = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"procedure.layer={name}: gives {shape} of {kind}, not feature maps [B, C, h, w]")
        return features.shape[1]

    def layer_of(self, model: nn.Module) -> str:
        """The name of the module. Raises `ValueError` for a model without `mixing_layer`."""
        name = self.layer or getattr(model, "mixing_layer", None)
        if name is None:
            raise ValueError(
                f"AutoMix does not know which feature maps of {type(model).__name__} to mix by: set procedure.layer to "
                "the name of a module that gives [B, C, h, w], or choose a WideResNet or a ResNet"
            )
        return str(name)

    def momentum_of(self, step: int, steps: int) -> float:
        """What k keeps of itself after the step of this number, from 0, of so many."""
        if step < int(self.constant_momentum * steps):
            return self.momentum
        rest = 0.5 * (1 + math.cos(math.pi * step / steps))
        return self.end_momentum - (self.end_momentum - self.momentum) * rest

    def mask_loss(self, mask: Tensor, ratio: Tensor) -> Tensor:
        """A scalar of partners' weights `[B, 1, H, W]` and the drawn ratio."""
        return ((1 - mask.mean() - ratio).abs() - self.mask_margin).clamp_min(0)

    def or_mixup(self, mask: Tensor, ratio: Tensor) -> Tensor:
        """Partners' weights `[B, 1, H, W]`, constant where the ratio is extreme."""
        extreme = torch.minimum(ratio, 1 - ratio) <= self.ratio_margin
        return torch.where(extreme, 1 - ratio, mask)


@dataclass(kw_only=True, eq=False)
class AutoMixTraining(ClassifierTraining):
    """One step of the block and the classifier on a batch. The mixer is not used.

    Attributes:
        algorithm: its parameters.
        rng: draws the block's first weights, ratios and partners.
    """

    algorithm: AutoMix
    rng: RandomStream

    def __post_init__(self) -> None:
        super().__post_init__()
        model, algorithm = self.model, self.algorithm
        self._layer = algorithm.layer_of(model)
        self._mixed, head = model, None
        if algorithm.separate_heads:
            self._mixed, head = with_own_layer(model, last_layer(model, len(self.evaluator.classes)))
        self._momentum = AveragedWeights(self._mixed)
        channels = algorithm.channels(model, self.loader.image_size)
        block = MixingBlock(channels, algorithm.reduction, self.rng).to(self.machine.device)
        self._block = block.to(memory_format=self.machine.memory_format)
        another = self.optimisation.another
        self._further = {"block": another(block.parameters(), algorithm.block_rate, algorithm.block_schedule)}
        if head is not None:
            self._further["head"] = another(head.parameters())
            self.machine.compile_networks(self._mixed)
        self.machine.compile_networks(self._momentum.network)

    @property
    def passes(self) -> tuple[int, int]:
        return 2, 0

    def step(self, batch: Batch) -> dict[str, Tensor]:
        images, labels, algorithm = batch.images, self.mixer.targets(batch.labels), self.algorithm
        block_ratio, ratio = self.rng.beta(algorithm.alpha, 2)
        block_order, order = (self.rng.permutation(len(images)) for _ in range(2))
        with self.machine.autocast():
            block_mask, mask = masks(self._momentum.network, self._layer, self._block, images, (block_order, order))
            block_logits = self._momentum.network(torch.lerp(images, images[block_order], block_mask)).float()
            logits = self.model(images).float()
            mask = algorithm.or_mixup(mask, ratio)
            mixed_logits = self._mixed(torch.lerp(images, images[order], mask)).float()
        block_loss = self.loss(block_logits, torch.lerp(labels[block_order], labels, block_ratio))
        mask_loss = algorithm.mask_loss(block_mask, block_ratio)
        mixed_loss = self.loss(mixed_logits, torch.lerp(labels[order], labels, ratio))
        clean_loss = self.loss(logits, labels)
        total = clean_loss + mixed_loss + block_loss + algorithm.mask_weight * mask_loss
        minimise(total, self.optimisation, *self._further.values())
        return {
            "loss": mixed_loss.detach(),
            "clean_loss": clean_loss.detach(),
            "block_loss": block_loss.detach(),
            "mask_loss": mask_loss.detach(),
            "train_accuracy": (logits.detach().argmax(1) == batch.labels).float().mean(),
        }

    def beside(self, model: nn.Module, images: Tensor) -> None:
        network, block = model.requires_grad_(False), copy.deepcopy(self._block).to(images.device)
        order = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        mask, _ = masks(network, self._layer, block, images, (order, order))
        network(torch.lerp(images, images[order], mask)).sum().backward()

    def advance(self, samples: int) -> None:
        super().advance(samples)
        for each in self._further.values():
            each.advance()
        done = self.optimisation.steps - 1
        self._momentum.follow(1 - self.algorithm.momentum_of(done, self.epochs * len(self.loader)))

    @property
    def networks(self) -> dict[str, nn.Module]:
        second = {} if self._mixed is self.model else {"mixed_head": self._mixed}
        return {"plain": self.model, **second}

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides a plain training's."""
        networks = {"momentum": self._momentum.network, "block": self._block, "mixed": self._mixed}
        return networks | {f"{name}_optimisation": each for name, each in self._further.items()}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
