"""Settings that exclude each other."""

from chimeramix.config.schema import Config
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.mixing import Identity, Mixer
from chimeramix.runs import build
from chimeramix.training.averages import Average


def check_procedure(mixer: Mixer) -> None:
    """Raises `UserError` for a mixer beside a procedure."""
    if not isinstance(mixer, Identity):
        raise UserError("procedure mixes images itself: choose mixer=none, or no procedure")


def average_of(config: Config) -> Average | None:
    """Which weights are averaged. Raises `UserError` for an average beside a procedure."""
    average: Average | None = build.part(config, "average")
    if average is not None:
        build.check_kind(average, Average, config.average, "average")
        if config.procedure is not None:
            raise UserError("procedure averages the weights itself: choose average=none, or no procedure")
    return average


def check_sharpness(config: Config, machine: Machine | None) -> None:
    """Raises `UserError` for what goes without sharpness-aware minimisation only.

    Args:
        machine: which computes; None for one that is not known here.
    """
    if config.sharpness is None:
        return
    if config.procedure is not None:
        raise UserError(f"sharpness={config.sharpness}: a procedure has steps of its own; choose one of both")
    if machine is not None and machine.precision == "fp16":
        # Its scaled loss may overflow in either pass; bf16 needs no scaling.
        raise UserError(f"sharpness={config.sharpness} can't be had with fp16: choose machine.precision=bf16 or fp32")
