"""Floating-point operations of a whole training, as PyTorch counts them: two for each multiplication and addition of
convolutions and matrix products, forward and backward. All else (normalisation, activations, optimisers, augmentation)
is little beside them and not counted.

A step is counted on the meta device, where tensors have no values, and scaled to the images that the training goes
through; a classifier's for two images and for three, because some work is a step's and not an image's: a harmonic
convolution makes its kernel. So it takes no memory, and the same training counts the same on every machine. It is done
at the end, where nobody waits for the first step: 0.2 s for a WideResNet-16-8, 1 s for a ResNet-50, 0.3 s for
ChimeraMix's generator.

What counts: a classifier's passes, also those by which MixMatch guesses labels; all networks of a generator's step.
What does not: a mixer's own networks (a trained generator that composes images), evaluations, the batch statistics of
averaged weights, pictures.
"""

import logging
from typing import Any

import torch

from chimeramix.config.schema import Config
from chimeramix.machine import Machine
from chimeramix.runs import build
from chimeramix.runs.assembly import Parts, Run
from chimeramix.runs.tryout import unseen
from chimeramix.shares import images_of
from chimeramix.streams import RandomStream
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.types import Batch, Subset

log = logging.getLogger(__name__)

_PAIR = 2  # images of the counted step
_META = torch.device("meta")


def training_flops(run: Run, parts: Parts) -> int | None:
    """Of a run's training from its first step to its last; None where its operations can't be counted."""
    config, training = run.settings.config, parts.training
    images, num_classes = training.epochs * training.loader.samples, len(parts.data.classes)
    if isinstance(training, ClassifierTraining):
        steps = training.epochs * len(training.loader)
        return classifier_flops(config, num_classes, run.source.image_size, images, steps, training.passes)
    return generator_flops(config, num_classes, images)


def classifier_flops(
    config: Config, num_classes: int, image_size: int, images: int, steps: int, passes: tuple[int, int] = (1, 0)
) -> int | None:
    """Of a classifier's training; None where its model can't be counted.

    Args:
        images: that the training takes from its loader, over all epochs.
        steps: of the training.
        passes: see `chimeramix.training.classifier.ClassifierTraining.passes`.
    """
    try:
        two, three = (_step_flops(config, num_classes, image_size, images, passes) for images in (2, 3))
        per_image = three - two
        return images * per_image + steps * (two - 2 * per_image)
    except Exception as error:  # what needs values is not for the meta device; no figure is worth a run
        log.debug("the operations of the model can't be counted: %s", error)
        return None


def _step_flops(config: Config, num_classes: int, image_size: int, images: int, passes: tuple[int, int]) -> int:
    """Of a classifier's step with so many images."""
    with unseen(), _META:
        model = build.model(config, num_classes).train()
        with _counter() as counter:
            logits = model(torch.zeros(images, 3, image_size, image_size))
            forward = counter.get_total_flops()
            logits.sum().backward()
    trained, more = passes
    return int(trained * counter.get_total_flops() + more * forward)


def generator_flops(config: Config, num_classes: int, images: int) -> int | None:
    """Of a generator's training; None where its step can't be counted, or steps are not all alike.

    Args:
        images: that the training takes from its loader, over all epochs; their partners come on top.
    """
    try:
        with unseen(), _META:
            generator = build.generator(config)
            if not generator.recordable or generator.unlabelled or generator.transductive:
                return None
            size, rng = generator.image_size, _Blank()
            labels = torch.zeros(_PAIR, dtype=torch.int64)
            generator.begin(Subset(torch.zeros(_PAIR, 3, size, size, dtype=torch.uint8), labels, num_classes), rng)
            generator.prepare(Machine(_META), 1)
            segments = torch.zeros(_PAIR, size, size, dtype=torch.int64)
            batch = Batch(torch.zeros(_PAIR, 3, size, size), labels, labels, segments)
            several = images_of(generator.mask) - 1
            partners = Batch(
                batch.images.repeat(several, 1, 1, 1), labels.repeat(several), None, segments.repeat(several, 1, 1)
            )
            with _counter() as counter:
                generator.step(batch, partners if generator.needs_partners else None, rng)
            return int(counter.get_total_flops()) * images // _PAIR
    except Exception as error:
        log.debug("the operations of the generator can't be counted: %s", error)
        return None


class _Blank(RandomStream):
    """Draws without values; coins as ever."""

    def __init__(self) -> None:
        super().__init__(0)
        self.place = _META
        self.device: Any = None  # there is no generator of random numbers for this device


def _counter() -> Any:
    from torch.utils.flop_counter import FlopCounterMode  # not at the top: a run that is finished counts nothing

    return FlopCounterMode(display=False)
