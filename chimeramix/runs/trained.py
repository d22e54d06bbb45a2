"""Trained networks: generators for the classifier that the same overrides train and for training loops outside of this
package (`chimeramix.mixing.ChimeraMix.from_run`), and what finished runs left for use."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from chimeramix.config.compose import register
from chimeramix.config.own_code import make_importable
from chimeramix.config.schema import Config
from chimeramix.config.settings import Settings, config_from_file
from chimeramix.data.segments import SubsetSegments
from chimeramix.data.views import Normalize, SameClassPartners, Views
from chimeramix.errors import UserError
from chimeramix.runs import build
from chimeramix.runs.commands import generator_command
from chimeramix.runs.drawn import read_drawn
from chimeramix.runs.folder import RunFolder, folders_in, own_folders_of
from chimeramix.runs.record import DamagedRecord, Record, read_record
from chimeramix.streams import RandomStream, derive_seed, draw_seed
from chimeramix.training.checkpoint import first_line
from chimeramix.types import Subset


def trained_generator(settings: Settings, folder: RunFolder | None, device: torch.device) -> nn.Module:
    """The frozen network of the generator that the same overrides train, on the device.

    Args:
        folder: the generator's; None where the configuration names no generator.

    Raises:
        UserError: with the command to type, where that generator is missing, unfinished or damaged.
    """
    if folder is None:
        build.check_generator(settings.config, None)
        raise UserError("mixer needs a generator: choose one with generator=NAME, such as generator=chimera")
    # First, for what is wrong with the generator's own settings, and for a kind that the mixer can't use.
    network = build.generator(settings.config).network
    build.check_generator(settings.config, network)
    command = generator_command(settings.overrides)
    result = generator_result(settings, folder)
    if result is None:
        state = f"its training in {folder.path} is not finished" if folder.path.exists() else "there is none"
        raise UserError(f"this run needs the generator {folder.identity}, and {state}; train it with: {command}")
    return _frozen(network, folder.weights, result, f"train it again with: {command} rerun=true").to(device)


def generator_result(settings: Settings, folder: RunFolder) -> dict[str, Any] | None:
    """The result of the generator that the same overrides train, None where it is not finished.

    Raises:
        UserError: for a damaged one, with the command to type.
    """
    try:
        return folder.result()
    except DamagedRecord as error:
        command = generator_command(settings.overrides)
        raise UserError(f"{error.fault}; train it again with: {command} rerun=true") from error


def support(
    path: str | Path,
    images: Tensor,
    labels: Tensor,
    device: torch.device | str = "cpu",
    rng: int | None = None,
    num_classes: int | None = None,
) -> dict[str, Any]:
    """What `ChimeraMix` needs of a generator's run and a support set: its arguments but for the caller's choices.

    Raises:
        UserError, ValueError: see `chimeramix.mixing.ChimeraMix.from_run`.
    """
    return support_of(path, *read_generator(Path(path))[1:], images, labels, device, rng, num_classes)


def support_of(
    path: str | Path,
    config: Config,
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    device: torch.device | str,
    rng: int | None,
    num_classes: int | None,
) -> dict[str, Any]:
    """The same of a generator that was read from there already."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be uint8 [number, 3, size, size], got {images.dtype} {list(images.shape)}")
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64 [{len(images)}], got {labels.dtype} {list(labels.shape)}")
    mask = build.mask_of(config.generator)
    if mask is None:
        raise UserError(f"{path} holds a generator without a mask: not one of ChimeraMix")
    source = config.generator["mask"].get("source")
    if source in ("first", "random"):
        raise UserError(
            f"{path}: mask.source={source} needs superpixels of images that only a run of this package knows"
        )
    found = int(labels.max()) + 1
    if num_classes is not None and num_classes < found:
        raise ValueError(f"num_classes={num_classes}, but the support set has label {found - 1}")
    num_classes = num_classes or found
    device = torch.device(device)
    # One for all draws, so that a mixer's state holds all that it draws, and a worker's copy starts anew as a whole.
    stream = RandomStream(derive_seed(draw_seed() if rng is None else rng, "mixing"), device)
    mean, std = _mean_and_std(config)
    segments = None
    if mask.segmentation is not None:
        segments = SubsetSegments(images, images.shape[-1], mask.segmentation, mean, std, device=device)
        _ = segments.labels  # computed here, once, and not by each worker that gets a copy of the mixer
    views = Views(
        Subset(images, labels, num_classes).to(device),
        build.part(config, "augment"),
        Normalize(mean, std, device),
        stream,
        segments,
    )
    return {
        "num_classes": num_classes,
        "generator": network.to(device),
        "partners": SameClassPartners(views, stream),
        "mask": mask,
        "rng": stream,
        "resize": resizing_of(config),
    }


def resizing_of(config: Config) -> Literal["matched", "official"]:
    """How the classifier of a generator's run would resize images for it; see `ChimeraMix`."""
    resize: Literal["matched", "official"] = (build.generating_mixer(config) or {}).get("resize", "matched")
    return resize


def _mean_and_std(config: Config) -> tuple[Sequence[float], Sequence[float]]:
    """Of the run's data set, which need not be there where the configuration names them."""
    given = config.dataset
    if "mean" in given and "std" in given:
        return given["mean"], given["std"]
    source = build.source(config, needs_test=False)
    return source.mean, source.std


def read_generator(folder: Path) -> tuple[Record, Config, nn.Module]:
    """Record, configuration and trained network, frozen and on the CPU, of a generator's run. Raises `UserError`."""
    record, config = _read(folder, "generator")
    if not isinstance(config.generator, dict):
        raise UserError(f"{folder / 'config.yaml'} is damaged (it has no generator); train the generator again")
    with _own_folders_named(folder):
        network = build.generator(config).network
    network = _frozen(network, folder / "generator.safetensors", record.result, "train the generator again")
    return record, config, network


def read_classifier(folder: Path) -> tuple[Record, Config, nn.Module]:
    """The same of a classifier's run; it takes normalised images and gives logits. Raises `UserError`."""
    record, config = _read(folder, "classifier")
    with _own_folders_named(folder):
        network = build.model(config, len(read_drawn(folder).classes))
    network = _frozen(network, folder / "classifier.safetensors", record.result, "train the classifier again")
    return record, config, network


def generator_of(folder: Path, record: Record) -> Path | None:
    """The folder of the generator that a classifier's run used, None for a run that used none. Raises `UserError` where
    it is gone: it is looked for beside the run, in the same `machine.runs_dir`."""
    identity = record.result.get("generator_identity")
    if identity is None:
        return None
    runs_dir = folder.resolve().parent.parent
    found = folders_in(runs_dir).get(identity)
    if found is None:
        raise UserError(f"{folder} used the generator {identity}, which is not in {runs_dir / 'generator'}")
    return found


@contextmanager
def _own_folders_named(folder: Path) -> Iterator[None]:
    """Has an error in what one's own modules build say which folders of theirs are gone."""
    try:
        yield
    except UserError as error:
        gone = [str(each) for each in own_folders_of(folder) if not each.is_dir()]
        if not gone:
            raise
        raise UserError(
            f"{folder}: its own modules were in {', '.join(gone)}, which is gone: put it back, or name its new place "
            f"in PYTHONPATH ({error})"
        ) from error


def _read(folder: Path, role: str) -> tuple[Record, Config]:
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} is not the folder of a finished run: it has no result.json")
    if record.result["role"] != role:
        raise UserError(f"{folder} is the run of a {record.result['role']}, not of a {role}")
    path = folder / "config.yaml"
    try:
        config = config_from_file(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{folder} is not the folder of a finished run: it has no config.yaml") from error
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}); train the {role} again") from error
    register()
    make_importable(own_folders_of(folder))
    return record, config


def load_weights(path: Path, result: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a finished run, on the CPU, compared with the checksum in its result; a run of a version that
    recorded none is read as it is. Raises `ValueError`, `OSError` or `SafetensorError` for a damaged file."""
    content = path.read_bytes()
    _compare(content, result)
    return load(content)


def check_weights(path: Path, result: Mapping[str, Any], remedy: str) -> None:
    """Raises `UserError` for weights that are not what the finished run wrote. They may be gone: a run needs them no
    more."""
    with suppress(FileNotFoundError):
        try:
            _compare(path.read_bytes(), result)
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); {remedy}") from error


def _compare(content: bytes, result: Mapping[str, Any]) -> None:
    expected = result.get("weights_sha256")
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise ValueError("its content is not what the run wrote")


def _frozen(network: nn.Module, weights: Path, result: Mapping[str, Any], remedy: str) -> nn.Module:
    """The network with trained weights from a file, for use only. Raises `UserError` for a damaged file."""
    try:
        network.load_state_dict(load_weights(weights, result))
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{weights} is damaged ({str(error).splitlines()[0]}); {remedy}") from error
    return network.requires_grad_(False).eval()
