"""Trainings of seconds on noise, of every method."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.synthetic import Noise, parts_of, with_segments
from chimeramix.machine import Machine
from chimeramix.runs.assembly import Parts
from chimeramix.training import loop
from chimeramix.training.metrics import EpochMeans
from tests.composing import composed

_CONF = Path(__file__).parents[2] / "conf" / "experiment"
EPOCHS = 16
_NAMES = sorted(str(path.relative_to(_CONF).with_suffix("")) for path in _CONF.rglob("*.yaml"))
EXPERIMENTS = [name for name in _NAMES if not name.startswith("small/")]  # those are the same methods
WITH_GENERATOR = ("chimeramix_grid", "chimeramix_segmentation", "several/grid", "glico")
NETWORKS = {"model", "averaged", "average", "network", "discriminator", "classifier", "momentum", "block", "mixed"}


def trained(parts: Parts, machine: Machine, epochs: int = EPOCHS) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The training's state after some epochs, without its optimisers', and the epochs' means."""
    means, records = EpochMeans(machine.device), []
    step = loop.steps_of(parts.training, means, parts.streams, machine)
    with machine.own_stream():
        for _ in range(epochs):
            for index, labelled in parts.training.loader.positions():
                step(index, labelled)
                parts.training.advance(len(index))
            records.append(means.read())
            means.clear()
    state = parts.training.state_dict()
    return {name: value for name, value in state.items() if name in NETWORKS}, records


def assert_same(one: Any, other: Any) -> None:
    """To the bit, whatever nested containers hold."""
    for left, right in zip(tree_leaves(one), tree_leaves(other), strict=True):
        assert torch.equal(left, right) if isinstance(left, Tensor) else left == right


def small(role: str, experiment: str, machine: Machine, folder: Path, *overrides: str) -> Parts:
    """Epochs of two batches of 6 images and one of 3."""
    words = [f"+experiment={experiment}", *overrides]
    generator = composed("classifier", ["+dataset=cifair10", *words]).config.generator
    if generator is not None:
        words.append("generator.image_size=32")
        if generator["_target_"].endswith("ChimeraGenerator"):
            words += ["generator.features=4", "generator.discriminator.features=4"]
    recipe = ["batch_size=6", "epoch_labels_per_class=5", f"epochs={EPOCHS}"]
    if role == "generator":
        words += [f"generator.{word}" for word in recipe]
    else:
        pixels = 32 if generator is not None else 16  # a generator makes no smaller ones
        words += [f"dataset.image_size={pixels}", "model=wideresnet_10_2", "model.width=1", *recipe]
    parts = parts_of(role, machine, folder, *words, source=Noise(classes=3, per_class=5, test=6))
    return with_segments(parts, machine)
