"""Tries a run's parts on blank images before anything is trained or written: what does not fit is reported at once.

A model is built and called on the meta device first, where tensors have shapes and no values: that takes no memory, and
tells how much a step would take.
"""

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from chimeramix.augment import Cutout
from chimeramix.config.checks import as_user_error
from chimeramix.config.schema import Config
from chimeramix.data.views import Augment, Erase
from chimeramix.errors import UserError
from chimeramix.generators import Generator
from chimeramix.machine import Machine
from chimeramix.optimize import Schedule
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from chimeramix.training.procedure import Procedure
from chimeramix.types import Subset

_PAIR = 2  # images of a trial: one would be a batch without statistics


def try_augment(augment: Augment, subset: Subset, group: str, image_size: int) -> None:
    """Augments one image, so that what can't work (a padding as large as the image) is said before training starts."""
    sizes: dict[str, Any] = {} if subset.sizes is None else {"sizes": subset.sizes[:1]}
    with as_user_error(group):
        images, _ = augment(subset.images[:1], None, RandomStream(0), **sizes)
    if isinstance(images, Tensor) and images.shape[-2:] != (image_size, image_size):
        made = " x ".join(map(str, images.shape[-2:]))
        raise UserError(f"{group}: makes images of {made} pixels, but networks take {image_size} a side")


def try_erase(erase: Erase | None, image_size: int) -> None:
    """The same for an eraser, which may have a word of its own on the images' size."""
    if erase is not None:
        with as_user_error("erase"):
            if isinstance(erase, Cutout):
                erase.check(image_size)
            erase(torch.zeros(1, 3, image_size, image_size), RandomStream(0))


def try_model(config: Config, num_classes: int, image_size: int, batch_size: int, machine: Machine | None) -> None:
    """Builds the model and calls it on blank images, without using memory where the model allows.

    Args:
        batch_size: images of the largest batch.
        machine: which computes, and whose memory must suffice; None for one that is not known here.

    Raises:
        UserError: where it can't be built, gives no logits for the images, or needs more memory than there is.
    """
    with unseen(), torch.device("meta"):
        try:
            model = build.model(config, num_classes)
        except UserError:  # the one with values reports it, if it has the same trouble
            model = None
    if model is not None:
        _check_memory("model", _training_bytes(model), machine)
        try:
            _check_memory("model and batch_size", _step_bytes(model, image_size, batch_size, machine), machine)
            with torch.device("meta"):
                return _call(model, num_classes, image_size)
        except _OfMemory:
            raise
        except Exception:  # what needs values is not for the meta device
            pass
    with unseen(), torch.no_grad():
        _call(build.model(config, num_classes).eval(), num_classes, image_size)


def try_procedure(config: Config, num_classes: int, image_size: int) -> None:
    """Builds a procedure and shows it the model, without values where that suffices.

    Raises:
        UserError: for what is none, and for a model that it can't train.
    """
    procedure = build.part(config, "procedure")
    build.check_kind(procedure, Procedure, config.procedure, "procedure")
    with unseen(), torch.device("meta"):
        try:
            model = build.model(config, num_classes)
            procedure.check(model, num_classes, image_size)
        except ValueError as error:
            with as_user_error("procedure"):
                raise error
        except Exception:  # what needs values is not for the meta device, and a model's own troubles are its trial's
            pass


def try_schedule(schedule: Schedule) -> None:
    """Raises `UserError` where a schedule makes no factor of the share of the training that is done."""
    with _explained("schedule", "a schedule makes of the share of the training, 0 to 1, a factor on the learning rate"):
        for share in (0.0, 1.0):
            float(schedule(share))


def try_loss(loss: nn.Module, num_classes: int) -> None:
    """Raises `UserError` where a loss does not make one number of logits and soft targets."""
    must = "a loss takes logits [B, K] and soft targets [B, K], and gives one number"
    logits = torch.zeros(_PAIR, num_classes, requires_grad=True)
    targets = torch.full((_PAIR, num_classes), 1 / num_classes)
    with unseen(), _explained("loss", must):
        value = copy.deepcopy(loss)(logits, targets)  # a copy, because batch normalisation counts
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        raise UserError(f"loss: gives {_describe(value)}; {must}")


def check_images(config: Config, image_size: int, machine: Machine | None) -> None:
    """Raises `UserError` for images of which not even those of two classes fit into memory."""
    count = _PAIR * (config.max_labels_per_class or 1)
    _check_memory(f"images of {image_size} pixels", 3 * image_size**2 * count, machine)


def check_generator(config: Config, machine: Machine | None) -> None:
    """Raises `UserError` for a generator whose networks don't fit into memory, or whose perceptual loss its images."""
    with unseen(), torch.device("meta"):
        try:
            generator = build.generator(config)
        except UserError:  # reported when it is built with values
            return
    build.check_kind(generator, Generator, config.generator, "generator")
    perceptual: Any = getattr(generator, "perceptual", None)
    if hasattr(perceptual, "check"):
        with as_user_error("generator.perceptual"):
            perceptual.check(generator.image_size)
    networks = [part for part in vars(generator).values() if isinstance(part, nn.Module)]
    _check_memory("generator", sum(map(_training_bytes, networks)), machine)
    pixels = 3 * generator.image_size**2 * _PAIR
    _check_memory(f"images of generator.image_size={generator.image_size}", 4 * pixels, machine)


def check_whole(count: int, machine: Machine | None) -> None:
    """Raises `UserError` for whole images of so many bytes that do not fit into memory."""
    _check_memory("whole images at augment.longest_side", count, machine)


def check_segments(count: int, size: int, machine: Machine | None) -> None:
    """Raises `UserError` where images can't be segmented at a size: as bytes, as floats, and their labels."""
    _check_memory(f"superpixels of mask.segment_size={size}", count * size**2 * 17, machine)


class _OfMemory(UserError):
    pass


def _check_memory(what: str, needed: int, machine: Machine | None) -> None:
    """Only what is certain to be too much is refused: what is counted is less than a training takes."""
    available = _memory(machine)
    if needed > available:
        raise _OfMemory(
            f"{what}: would take more than {needed / 2**30:,.0f} GiB of memory, of which there are "
            f"{available / 2**30:,.0f}: choose a smaller one"
        )


def _memory(machine: Machine | None) -> int:
    """Bytes of the GPU that computes, or of this machine."""
    if machine is not None and machine.device.type == "cuda":
        return int(torch.cuda.get_device_properties(machine.device).total_memory)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text().strip()  # a container's or a job's
    except OSError:
        return total
    return min(total, int(allowed)) if allowed.isdecimal() else total


def _training_bytes(network: nn.Module) -> int:
    """Of the weights, and of the gradients of those that are trained."""
    known = (parameter for parameter in network.parameters() if not is_lazy(parameter))
    return sum(p.numel() * p.element_size() * (2 if p.requires_grad else 1) for p in known)


def _step_bytes(model: nn.Module, image_size: int, batch_size: int, machine: Machine | None) -> int:
    """What a step keeps for the backward pass, besides the weights, which a compiled one may do without."""
    if machine is not None and machine.compile in (True, "full"):
        return 0
    own = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model.train()(torch.zeros(_PAIR, 3, image_size, image_size))
    del result
    per_image = sum(tensor.untyped_storage().nbytes() for tensor in kept.values() if tensor.shape[:1] == (_PAIR,))
    half = machine is not None and machine.precision in ("bf16", "fp16")
    return per_image // _PAIR * batch_size // (2 if half else 1)


def _call(model: nn.Module, num_classes: int, image_size: int) -> None:
    must = f"a model makes of images [B, 3, {image_size}, {image_size}] their logits [B, {num_classes}]"
    with _explained("model", must):
        logits = model(torch.zeros(_PAIR, 3, image_size, image_size))
    if not isinstance(logits, Tensor) or logits.shape != (_PAIR, num_classes):
        raise UserError(f"model: gives {_describe(logits)} for B={_PAIR}; {must}")


def _describe(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


@contextmanager
def _explained(group: str, must: str) -> Iterator[None]:
    try:
        with as_user_error(group):
            yield
    except UserError as error:
        if isinstance(error.__cause__, ValueError):  # the part's own word
            raise
        raise UserError(f"{error}; {must}") from error


@contextmanager
def unseen() -> Iterator[None]:
    """A trial draws no numbers that a run would draw, and warns of nothing that the run will warn of again."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
