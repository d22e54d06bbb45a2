"""Trained generators for training loops outside of this package: see `chimeramix.mixing.ChimeraMix.from_run`."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chimeramix.config.compose import Settings, register
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.mixing.chimera import ChimeraMix
from chimeramix.runs import build
from chimeramix.runs.commands import generator_command
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.spec import generator_spec
from chimeramix.streams import RandomStream, derive_seed
from chimeramix.types import Subset


def chimera_mixer(
    path: str | Path,
    images: Tensor,
    labels: Tensor,
    probability: float = 0.5,
    include_self: bool = True,
    device: torch.device | str = "cpu",
    rng: int | None = None,
) -> ChimeraMix:
    """See `chimeramix.mixing.ChimeraMix.from_run`."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be uint8 [number, 3, size, size], got {images.dtype} {list(images.shape)}")
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64 [{len(images)}], got {labels.dtype} {list(labels.shape)}")
    values, network = _read(Path(path))
    mask, size = values["generator"].get("mask"), images.shape[-1]
    if mask is None:
        raise UserError(f"{path} holds a generator without a mask: not one of ChimeraMix")
    made_mask = build.part(values["generator"], "mask")
    if getattr(made_mask, "source", "partner") == "first":
        raise UserError(f"{path}: mask.source=first needs superpixels of images that only a run of this package knows")
    num_classes = int(labels.max()) + 1
    device = torch.device(device)
    seed = torch.initial_seed() if rng is None else rng
    dataset = values["dataset"]
    normalize = Normalize(dataset["mean"], dataset["std"], device)
    subset = Subset(images, labels, num_classes).to(device)
    views = Views(subset, build.part(values, "augment"), normalize, RandomStream(derive_seed(seed, "augment"), device))
    if made_mask.segmentation is not None:
        views.attach_segments(build.segments_of(images, size, made_mask, dataset["mean"], dataset["std"]))
    return ChimeraMix(
        num_classes,
        network.to(device).requires_grad_(False).eval(),
        SameClassPartners(views, RandomStream(derive_seed(seed, "partners"), device)),
        made_mask,
        probability,
        include_self,
        rng=RandomStream(derive_seed(seed, "mixing"), device),
    )


def _read(folder: Path) -> tuple[dict[str, Any], Any]:
    """Configuration and trained network of a generator's run. Raises `UserError`."""
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if result["role"] != "generator":
            raise UserError(f"{folder} is the run of a {result['role']}, not of a generator")
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not the folder of a finished run: it has no {Path(error.filename).name}"
        ) from error
    register()
    network = build.generator(values).network
    weights = folder / "generator.safetensors"
    try:
        network.load_state_dict(load_file(weights))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{weights} is damaged ({str(error).splitlines()[0]}); train the generator again") from error
    return values, network


def load_generator(settings: Settings, facts: dict[str, Any], machine: Machine) -> nn.Module:
    """The frozen network of the generator that the same overrides train, on the machine's device.

    Raises:
        UserError: with the command to type, where that generator is missing, unfinished or damaged.
    """
    values = settings.values
    if values["generator"] is None:
        raise UserError("mixer needs a generator: choose one with generator=NAME, such as generator=chimera")
    # First, for what is wrong with the generator's own settings, and for a kind that the mixer can't use.
    network: nn.Module = build.generator(values).network
    build.check_generator(values, network)
    folder = RunFolder(Path(values["machine"]["runs_dir"]).expanduser(), generator_spec(values, facts), "generator")
    command = generator_command(settings.overrides)
    if folder.result() is None:
        state = f"its training in {folder.path} is not finished" if folder.path.exists() else "there is none"
        raise UserError(f"this run needs the generator {folder.identity}, and {state}; train it with: {command}")
    try:
        network.load_state_dict(load_file(folder.weights))
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder.weights} is damaged ({reason}); train it again with: {command} rerun=true") from error
    return network.to(machine.device).requires_grad_(False).eval()
