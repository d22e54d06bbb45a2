"""An optimiser, its learning-rate schedule and its loss scaling, stepped as one.

A step has a part for the device (`minimise`), which a CUDA graph can record and repeat, and one for the host
(`advance`), which comes after it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from chimeramix.machine import Machine

_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)

Schedule = Callable[[float], float]
"""Maps the share of the training that is done, in [0, 1], to a factor on the learning rate."""


class Optimisation:
    """Minimises losses over one set of parameters.

    Args:
        parameters: the tensors to change, but for those that require no gradient; gradients are computed for these and
            no others, so a loss may run through networks that stay as they are.
        optimizer: called with the parameters; a partial of SGD, Adam or AdamW is fused: one kernel then does what many
            do otherwise, and fp16's overflows need no host synchronisation.
        undecayed: those of the parameters that get no weight decay.
        schedule: see `Schedule`; applied after every step (both papers' codes step per batch).
        total_steps: length of the training.
        machine: decides on loss scaling.

    Raises:
        ValueError: where steps are to be recorded and the optimiser has no fused form.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Schedule,
        total_steps: int,
        machine: Machine,
        undecayed: Iterable[torch.nn.Parameter] = (),
    ) -> None:
        self._parameters, apart = _learned(parameters), _learned(undecayed)
        self._made_by = optimizer, schedule, total_steps, machine
        self._optimizer = _made(optimizer, _groups(self._parameters, apart), machine)
        self._schedule = schedule
        self._total_steps = total_steps
        self._initial_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._rates_on_device: list[Tensor] | None = None
        if machine.records:
            if not self._optimizer.defaults.get("fused"):
                raise ValueError(
                    f"machine.compile={machine.compile} can't record {type(self._optimizer).__name__} where it is not "
                    "fused: choose SGD, Adam or AdamW, or machine.compile=true"
                )
            self._rates_on_device = [torch.zeros((), device=machine.device) for _ in self._initial_rates]
            # Adam asks for this flag while a step is recorded, and warns of it while none is; fused, it does the same.
            self._optimizer._warned_capturable_if_run_uncaptured = True
            self._set_capturable()
        self._steps = 0
        self._scaler = machine.scaler()
        self._set_learning_rates()

    def another(
        self, parameters: Iterable[torch.nn.Parameter], rate: float = 1.0, schedule: Schedule | None = None
    ) -> "Optimisation":
        """A new one for other parameters of the same training.

        Args:
            rate: factor on the learning rate.
            schedule: None takes that of this one.
        """
        optimizer, own, total_steps, machine = self._made_by
        chosen = schedule or own
        return Optimisation(parameters, optimizer, lambda share: rate * chosen(share), total_steps, machine)

    @property
    def learning_rate(self) -> float:
        """Of the first group, in the step to come."""
        return self._initial_rates[0] * self._schedule(self._steps / self._total_steps)

    def minimise(self, loss: Tensor) -> None:
        """The device's part of a step; reads nothing back."""
        minimise(loss, self)

    def minimise_around(self, loss: Tensor, again: Callable[[], Tensor], radius: float) -> None:
        """The same by sharpness-aware minimisation (SAM, Foret et al. 2021, Algorithm 1), without loss scaling: the
        optimiser's step from these weights, with the gradient at those which lie `radius` up the loss's gradient.

        Args:
            again: the same batch's loss, computed at the weights there.
        """
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        used = [pair for pair in zip(self._parameters, gradients, strict=True) if pair[1] is not None]
        parameters, uphill = [pair[0].detach() for pair in used], [pair[1] for pair in used]
        before = [parameter.clone() for parameter in parameters]  # adding and taking away would round
        torch._foreach_mul_(uphill, radius / (get_total_norm(uphill) + 1e-12))
        torch._foreach_add_(parameters, uphill)
        self._optimizer.zero_grad(set_to_none=True)
        again().backward(inputs=self._parameters)
        torch._foreach_copy_(parameters, before)
        self._optimizer.step()

    def advance(self) -> None:
        """The host's part, after the device's: the learning rates of the next step."""
        self._steps += 1
        self._set_learning_rates()

    @property
    def steps(self) -> int:
        """Steps done."""
        return self._steps

    def forget(self) -> None:
        """Clears the moments and momenta, as a new optimiser would have them; learning rates and schedule go on.

        In place, because recorded steps know the tensors by their addresses. Fused SGD, Adam and AdamW start from
        zeros as they start without a state.
        """
        for kept in self._optimizer.state.values():
            for value in kept.values():
                if isinstance(value, Tensor):
                    value.zero_()

    def _set_capturable(self) -> None:
        for group in self._optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = self._rates_on_device is not None

    def _set_learning_rates(self) -> None:
        # Not by torch's LambdaLR: where fp16 overflows in the first step, as it often does, the scaler leaves that step
        # out and LambdaLR warns of a wrong order.
        factor = self._schedule(self._steps / self._total_steps)
        for number, (group, initial) in enumerate(zip(self._optimizer.param_groups, self._initial_rates, strict=True)):
            rate = float(np.float32(initial * factor))  # what a device can hold, so that a recorded step is the same
            if self._rates_on_device is not None:
                group["lr"] = self._rates_on_device[number].fill_(rate)
            else:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        # In another precision weights may lie in another order in memory, and fused steps go through both as they lie.
        for parameter, kept in self._optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        self._steps = state["steps"]
        self._set_capturable()
        self._set_learning_rates()
        if state["scaler"]:  # empty from a run in another precision, which may go on in fp16
            self._scaler.load_state_dict(state["scaler"])


def _made(
    optimizer: Callable[..., torch.optim.Optimizer], groups: list[Any], machine: Machine
) -> torch.optim.Optimizer:
    """The fused form where there is one and the configuration says nothing else."""
    chosen = getattr(optimizer, "keywords", {})
    decided = chosen.keys() & {"fused", "foreach", "differentiable"} or chosen.get("dampening")
    if getattr(optimizer, "func", None) not in _FUSED or decided or machine.device.type not in ("cpu", "cuda"):
        return optimizer(groups)
    made = optimizer(groups, fused=True)
    if isinstance(made, torch.optim.SGD):
        # The first step makes buffers without values, and where fp16 overflows in it, none are put in.
        for group in made.param_groups:
            for parameter in group["params"] if group["momentum"] else []:
                made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def _learned(parameters: Iterable[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Without those that stay as they are, of which autograd refuses to know a gradient."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def _groups(parameters: list[torch.nn.Parameter], undecayed: list[torch.nn.Parameter]) -> list[Any]:
    """The parameters as an optimiser takes them: as they are, or in two groups."""
    if not undecayed:
        return parameters
    apart = {id(parameter) for parameter in undecayed}
    decayed = [parameter for parameter in parameters if id(parameter) not in apart]
    return [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]


def minimise(loss: Tensor, *optimisations: Optimisation) -> None:
    """The device's part of a step of several optimisers on one loss, with one backward pass; the first one's loss
    scaling serves all."""
    scaler = optimisations[0]._scaler
    for each in optimisations:
        each._optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward(inputs=[parameter for each in optimisations for parameter in each._parameters])
    for each in optimisations:
        scaler.step(each._optimizer)
    scaler.update()
