"""Settings that exclude each other, or should not go together."""

import logging
from collections.abc import Iterator
from typing import Any

from chimeramix.config.schema import Config
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.mixing import Identity, Mixer
from chimeramix.runs import build
from chimeramix.training.averages import Average

log = logging.getLogger(__name__)


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
    if config.sharpness == 0:
        raise UserError("sharpness=0: a radius above 0, or sharpness=null for plain steps")
    if config.procedure is not None:
        raise UserError(f"sharpness={config.sharpness}: a procedure has steps of its own; choose one of both")
    if machine is not None and machine.precision == "fp16":
        # Its scaled loss may overflow in either pass; bf16 needs no scaling.
        raise UserError(f"sharpness={config.sharpness} can't be had with fp16: choose machine.precision=bf16 or fp32")


def check_views(config: Config, image_size: int) -> None:
    """Raises `UserError` for images that are too small to be shifted."""
    if config.evaluation.views == "flip_shift" and image_size < 2:
        raise UserError(
            f"evaluation.views=flip_shift: images of dataset.image_size={image_size} can't be shifted; "
            "choose evaluation.views=flip"
        )


def warn_of_views(config: Config) -> None:
    """Says where an evaluation shows mirror images to a network that was trained without: of digits, for instance."""
    flips = list(_values_of("flip", config.augment))
    if config.evaluation.views != "plain" and flips and not any(flips):
        log.warning(
            "evaluation.views=%s shows mirror images, of which the training sees none (recipe.flip=0): the result may "
            "be far below that of evaluation.views=plain",
            config.evaluation.views,
        )


def _values_of(key: str, group: Any) -> Iterator[Any]:
    """The values of a key in a group and the groups nested in it."""
    if isinstance(group, dict):
        for name, value in group.items():
            yield from [value] if name == key else _values_of(key, value)
