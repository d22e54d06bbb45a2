"""The images that `chimeramix synthesise` writes, one after another, and what there is to say of each."""

import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from chimeramix.data.subset import TrainingImages
from chimeramix.errors import UserError
from chimeramix.evaluate.composing import Composer, Compositions
from chimeramix.generators.pool import ImagePool
from chimeramix.streams import RandomStream
from chimeramix.terminal import counted

_DIGITS = string.digits + string.ascii_lowercase


@dataclass(frozen=True)
class Synthesised:
    """An image of a class.

    Attributes:
        label: its class.
        image: `[3, S, S]` uint8 on the CPU.
        sources: the training images that it was made of, positions in the subset; empty where they are not known.
        mask: `[1, h, w]` or `[n, h, w]` float32, see `chimeramix.types.Mask`; None without one.
        account: how it was made, as JSON values by name.
    """

    label: int
    image: Tensor
    sources: list[int] = field(default_factory=list)
    mask: Tensor | None = None
    account: dict[str, Any] = field(default_factory=dict)


def composed(composer: Composer, data: TrainingImages, per_class: int, rng: RandomStream) -> Iterator[Synthesised]:
    """One image of each class, then another one of each, and so on: an image does not depend on how many follow.

    Args:
        rng: draws which image of its class is the first; all are that equally often, to within one.

    Raises:
        UserError: for a class without a training image.
    """
    members = [(data.labels == label).nonzero().flatten() for label in range(len(data.classes))]
    for name, each in zip(data.classes, members, strict=True):
        if not len(each):
            raise UserError(f"the run had no training image of class {name}, so there is nothing to compose of it")
    return _rounds(composer, members, per_class, rng)


def _rounds(composer: Composer, members: list[Tensor], rounds: int, rng: RandomStream) -> Iterator[Synthesised]:
    orders = list(members)
    for number in range(rounds):
        for label, each in enumerate(members):
            if number % len(each) == 0:
                orders[label] = each[rng.permutation(len(each))]
        made = composer.compose_of(torch.stack([each[number % len(each)] for each in orders]))
        for label in range(len(members)):
            yield _of(made, label)


def _of(made: Compositions, label: int) -> Synthesised:
    sources = [] if made.sources is None else made.sources[label].tolist()
    mask = None if made.masks is None else made.masks[label]
    account: dict[str, Any] = {}
    if mask is not None:
        account["mask"] = readable(mask)
    if made.shares is not None:
        account["weight"] = round(float(made.shares[label]), 6)
    return Synthesised(label, made.images[label], sources, mask, account)


def stored(pool: ImagePool, classes: tuple[str, ...], per_class: int, rng: RandomStream) -> Iterator[Synthesised]:
    """Mixtures of a pool in random order, each once, of the class that has most of its target; in the same order of
    classes as `composed`.

    Raises:
        UserError: where the pool has fewer of a class.
    """
    count = int(pool.count)
    images, targets = pool.images[:count].cpu(), pool.targets[:count].cpu()
    labels = targets.argmax(1)
    chosen = []
    for label, name in enumerate(classes):
        members = (labels == label).nonzero().flatten()
        if len(members) < per_class:
            found = f"the generator has stored {counted(len(members), 'mixture')} of class {name}"
            fewer = f"ask for --per-class {len(members)} or fewer, or " if len(members) else ""
            raise UserError(f"--per-class {per_class}: {found}; {fewer}train it with a larger generator.pool_epochs")
        chosen.append(members[rng.permutation(len(members))].tolist())
    return (
        Synthesised(label, images[order[number]], account={"target": _named(targets[order[number]], classes)})
        for number in range(per_class)
        for label, order in enumerate(chosen)
    )


def _named(target: Tensor, classes: tuple[str, ...]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(classes, target.tolist(), strict=True)}


def readable(mask: Tensor) -> list[Any]:
    """A mask as JSON values.

    Args:
        mask: `[1, h, w]`, the weight of the first of two images, or the shares `[n, h, w]` of more.

    Returns:
        A text for each row of places, with the number of the source that each place shows, 0 for the first one (after 9
        come letters). Where sources share a place, or are too many for that, instead for each source rows of its
        shares.
    """
    shares = torch.cat([mask, 1 - mask]) if len(mask) == 1 else mask
    if len(shares) <= len(_DIGITS) and bool(((shares == 0) | (shares == 1)).all()):
        return ["".join(_DIGITS[number] for number in row) for row in shares.argmax(0).tolist()]
    return [[[round(value, 6) for value in row] for row in each] for each in shares.tolist()]
