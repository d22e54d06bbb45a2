"""Averages of a classifier's weights along its training. They are evaluated; the training does not depend on them.

The running statistics of batch normalisation belong to the weights that made the activations:

- EMA averages them along with the weights. They are moving averages themselves, over the last steps, and weights that
  close together have activations whose mean and variance are, to first order, the average of those of each.
- SWA computes them anew before an evaluation (Izmailov et al. 2018, section 3.2), in one pass over an epoch's images as
  the training sees them, augmented and mixed: its weights lie far apart, and no step has had activations like theirs.

Averages are updated by the host's part of a step (`advance`), after the device's, so that recorded steps stay as they
are and shares may change from step to step. Nothing is read back.
"""

import copy
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from chimeramix.streams import RunStreams


class Average:
    """Which weights are averaged, and how.

    Args:
        result: whether the average or the plain weights of the last step are the run's outcome. Both are evaluated at
            the end.

    Attributes:
        name: of the averaged weights in records.
        recomputes_statistics: whether batch normalisation's are computed anew before an evaluation.
    """

    name: str
    recomputes_statistics: bool

    def __init__(self, result: Literal["average", "plain"] = "average") -> None:
        self.result = result

    def share(self, step: int, steps: int) -> float:
        """What the average takes of the weights after the `step`-th of `steps` steps, in [0, 1]."""
        raise NotImplementedError

    def begun(self, step: int, steps: int) -> bool:
        """Whether anything is averaged after so many steps; until then the average is the plain weights."""
        return True


class EMA(Average):
    """Exponential moving average: keeps a share of itself in each step.

    Args:
        decay: that share, in [0, 1). 0.999 averages over the last 1,000 steps or so.
        warm_up: whether the share is at most (1 + t) / (10 + t) after t steps (as in TensorFlow's
            `ExponentialMovingAverage`). So the first weights are soon forgotten, and of a training of few thousand
            steps the last tenth counts.
        result: see `Average`.
    """

    name = "ema"
    recomputes_statistics = False

    def __init__(
        self, decay: float = 0.999, warm_up: bool = True, result: Literal["average", "plain"] = "average"
    ) -> None:
        super().__init__(result)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.warm_up = warm_up

    def share(self, step: int, steps: int) -> float:
        before = step - 1
        return 1 - (min(self.decay, (1 + before) / (10 + before)) if self.warm_up else self.decay)


class SWA(Average):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of weights from the training's last part.

    The schedule is left as it is; the paper's rate in that part is constant or cyclical (`schedule=constant` on top of
    any experiment, or one's own).

    Args:
        start: share of the training before the part that is averaged, in [0, 1).
        interval: steps from one set of weights to the next; the last step's are always among them.
        result: see `Average`.
    """

    name = "swa"
    recomputes_statistics = True

    def __init__(
        self, start: float = 0.75, interval: int = 50, result: Literal["average", "plain"] = "average"
    ) -> None:
        super().__init__(result)
        if not 0 <= start < 1:
            raise ValueError(f"start must be in [0, 1), got {start}")
        if interval < 1:
            raise ValueError(f"interval must be at least 1, got {interval}")
        self.start = start
        self.interval = interval

    def share(self, step: int, steps: int) -> float:
        since = step - self._first(steps)
        if since < 0 or since % self.interval:
            return 0.0
        return 1 / (since // self.interval + 1)

    def begun(self, step: int, steps: int) -> bool:
        return step >= self._first(steps)

    def _first(self, steps: int) -> int:
        """The first step whose weights count, a whole number of intervals before the last one."""
        earliest = max(1.0, self.start * steps)
        return int(steps - (steps - earliest) // self.interval * self.interval)


class AveragedWeights:
    """A network whose weights and buffers move towards those of another.

    Not torch's `AveragedModel`, which reads back from the device to learn how often it was called.

    Attributes:
        network: with the averaged weights; needs no gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        self.network = copy.deepcopy(model).requires_grad_(False)
        tensors = [chain(each.parameters(), each.buffers()) for each in (self.network, model)]
        pairs = [(ours.detach(), theirs.detach()) for ours, theirs in zip(*tensors, strict=True)]
        smooth = [pair for pair in pairs if pair[0].is_floating_point() or pair[0].is_complex()]
        self._averaged, self._followed = ([pair[side] for pair in smooth] for side in (0, 1))
        self._counters = [pair for pair in pairs if not (pair[0].is_floating_point() or pair[0].is_complex())]

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Moves by this share of the way, in [0, 1]."""
        torch._foreach_lerp_(self._averaged, self._followed, share)

    @torch.no_grad()
    def take_counters(self) -> None:
        """Copies what can't be averaged."""
        for ours, theirs in self._counters:
            ours.copy_(theirs)


class TrainingAverage:
    """An average beside a training.

    Args:
        rule: which weights are averaged.
        model: that is trained.
        steps: length of the training.
        streams: of the run, which draw other numbers while statistics are computed, and then go on where they were.
    """

    def __init__(self, rule: Average, model: nn.Module, steps: int, streams: RunStreams) -> None:
        self.rule = rule
        self._weights = AveragedWeights(model)
        self._steps = steps
        self._streams = streams
        self._step = 0

    @property
    def network(self) -> nn.Module:
        return self._weights.network

    def advance(self) -> None:
        """After each step."""
        self._step += 1
        share = self.rule.share(self._step, self._steps)
        if share:
            self._weights.follow(share)

    def prepare(self, images: Iterable[Tensor]) -> None:
        """Makes the network ready for evaluation.

        Args:
            images: batches of an epoch `[B, 3, S, S]` as the training sees them, drawn where statistics are computed.
        """
        self._weights.take_counters()
        if not self.rule.begun(self._step, self._steps):
            self._weights.follow(1.0)
        elif self.rule.recomputes_statistics:
            with self._streams.apart("average"):
                update_bn(images, self.network)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._step = state["step"]
