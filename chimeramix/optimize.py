"""An optimiser, its learning-rate schedule and its loss scaling, stepped as one."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from chimeramix.machine import Machine

Schedule = Callable[[float], float]
"""Maps the share of the training that is done, in [0, 1], to a factor on the learning rate."""


class Optimisation:
    """Minimises losses over one set of parameters.

    Args:
        parameters: the tensors to change; gradients are computed for these and no others, so a loss may run through
            networks that stay as they are.
        optimizer: called with the parameters.
        undecayed: those of the parameters that get no weight decay.
        schedule: see `Schedule`; applied after every step (both papers' codes step per batch).
        total_steps: length of the training.
        machine: decides on loss scaling.
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
        self._parameters = list(parameters)
        self._optimizer = optimizer(_groups(self._parameters, list(undecayed)))
        self._schedule = schedule
        self._total_steps = total_steps
        self._initial_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._steps = 0
        self._scaler = machine.scaler()
        self._set_learning_rates()

    @property
    def learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def minimise(self, loss: Tensor) -> None:
        """One step; reads nothing back from the device (but for fp16, whose scaling must see overflows)."""
        minimise(loss, self)

    def _set_learning_rates(self) -> None:
        # Not by torch's LambdaLR: where fp16 overflows in the first step, as it often does, the scaler leaves that step
        # out and LambdaLR warns of a wrong order.
        factor = self._schedule(self._steps / self._total_steps)
        for group, initial in zip(self._optimizer.param_groups, self._initial_rates, strict=True):
            group["lr"] = initial * factor

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
        if state["scaler"]:  # empty from a run in another precision, which may go on in fp16
            self._scaler.load_state_dict(state["scaler"])


def _groups(parameters: list[torch.nn.Parameter], undecayed: list[torch.nn.Parameter]) -> list[Any]:
    """The parameters as an optimiser takes them: as they are, or in two groups."""
    if not undecayed:
        return parameters
    apart = {id(parameter) for parameter in undecayed}
    decayed = [parameter for parameter in parameters if id(parameter) not in apart]
    return [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]


def minimise(loss: Tensor, *optimisations: Optimisation) -> None:
    """One step of several optimisers on one loss, with one backward pass; the first one's loss scaling serves all."""
    scaler = optimisations[0]._scaler
    for each in optimisations:
        each._optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward(inputs=[parameter for each in optimisations for parameter in each._parameters])
    for each in optimisations:
        scaler.step(each._optimizer)
    scaler.update()
    for each in optimisations:
        each._steps += 1
        each._set_learning_rates()
