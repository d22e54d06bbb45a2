"""A trained classifier for use: by `chimeramix.load_classifier`, and by the commands that classify images."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chimeramix.config.compose import register
from chimeramix.config.schema import Config
from chimeramix.data.image_file import Reading
from chimeramix.data.views import Normalize
from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.runs import build
from chimeramix.runs.drawn import read_drawn
from chimeramix.runs.record import Record
from chimeramix.runs.sources import changed_model, targets_in
from chimeramix.runs.trained import read_classifier
from chimeramix.training.checkpoint import first_line
from chimeramix.training.evaluation import VIEWS, averaged, views_of

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""Of an exported classifier's folder, as the Hugging Face Hub names them."""
LIBRARY = "chimeramix"
"""`library_name` in the first of them."""


@dataclass(frozen=True)
class Blueprint:
    """All that a trained classifier consists of beside its weights.

    Attributes:
        model: the configuration's group `model`.
        classes: names of the K classes, in the order of the logits.
        reading: how images become squares.
        mean, std: three channels each, on the scale on which pixels are 0..1.
        views: in which each image is classified, one of `chimeramix.training.evaluation.VIEWS`.
        precision: in which the run was evaluated; see `Machine`.
        identity: of the run.
    """

    model: dict[str, Any]
    classes: tuple[str, ...]
    reading: Reading
    mean: tuple[float, ...]
    std: tuple[float, ...]
    views: str
    precision: str
    identity: str

    def to_json(self) -> dict[str, Any]:
        return {"library_name": LIBRARY, **asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Blueprint":
        """Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
        given = {field.name: content[field.name] for field in fields(cls)}
        if given["views"] not in VIEWS or not isinstance(given["model"], dict):
            raise ValueError("views or model")
        given |= {name: tuple(given[name]) for name in ("classes", "mean", "std")}
        return cls(**{**given, "reading": Reading(**given["reading"])})


class Preprocess:
    """From an image to what a classifier takes, on the CPU. It can be pickled, for the workers of a `DataLoader`.

    Attributes:
        reading: how an image becomes a square.
        mean, std: see `Blueprint`.
    """

    def __init__(self, reading: Reading, mean: Sequence[float], std: Sequence[float]) -> None:
        self.reading = reading
        self.mean, self.std = tuple(mean), tuple(std)
        self._normalize = Normalize(mean, std, torch.device("cpu"))

    def __call__(self, image: str | Path | Image | Tensor) -> Tensor:
        """`[3, S, S]` float32, normalised.

        Args:
            image: the path of a file, a PIL image of 8 bits a channel and of any size, or `[3, H, W]` uint8.

        Raises:
            UserError: for a file that can't be decoded, in one line that names it.
            ValueError: for a tensor of another shape or kind.
        """
        return self._normalize(self.reading(image))


class Classifier(nn.Module):
    """What a finished run classifies with, frozen and in evaluation mode.

    Attributes:
        network: gives logits of normalised images.
        blueprint: all else.
        classes: names of the K classes, in the order of the logits.
        image_size: S.
        preprocess: see `Preprocess`.
    """

    def __init__(self, network: nn.Module, blueprint: Blueprint) -> None:
        super().__init__()
        self.network = network
        self.blueprint = blueprint
        self.preprocess = Preprocess(blueprint.reading, blueprint.mean, blueprint.std)
        self.requires_grad_(False).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.blueprint.classes

    @property
    def image_size(self) -> int:
        return self.blueprint.reading.size

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, K]` float32 of normalised images `[B, 3, S, S]`, as `preprocess` makes them; where the run was
        evaluated in several views, the logarithm of their mean probability."""
        return averaged([self.network(view).float() for view in views_of(images, self.blueprint.views)])

    def normalizer(self, device: torch.device) -> Normalize:
        """From squares `[..., 3, S, S]` uint8 on a device to what `forward` takes."""
        return Normalize(self.blueprint.mean, self.blueprint.std, device)


def load_classifier(path: str | Path, device: torch.device | str = "cpu", trust: bool = False) -> Classifier:
    """See `chimeramix.load_classifier`."""
    folder = Path(path)
    exported = (folder / CONFIG).is_file() and not (folder / "result.json").exists()
    classifier = _exported(folder, trust) if exported else read_run(folder)[2]
    return classifier.to(device)


def is_exported(folder: Path) -> bool:
    """Whether `chimeramix export --format hub` wrote a folder: other libraries' models have a `config.json`, too."""
    try:
        return bool(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["library_name"] == LIBRARY)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def machine_of(classifier: Classifier, device: str = "auto") -> tuple[Machine, str | None]:
    """Where a classifier computes, in the precision in which its run was evaluated; and, where the device lacks that
    precision, a line that says so. Raises `UserError` for a device that this machine lacks."""
    wanted = classifier.blueprint.precision
    try:
        return Machine.choose(device, wanted), None
    except UserError:
        machine = Machine.choose(device, "auto")
        return machine, f"its run was evaluated in {wanted}, this device computes in {machine.precision}"


def read_run(folder: Path) -> tuple[Record, Config, Classifier]:
    """Record, configuration and classifier, on the CPU, of a finished run. Raises `UserError`."""
    record, config, network = read_classifier(folder)
    changed = changed_model(record.result, config)
    if changed:
        log.warning("%s: changed since the run finished, and used as they are now: %s", folder, ", ".join(changed))
    source = build.source(config, needs_test=False)
    stretches = record.result.get("stretches") or [{}]
    blueprint = Blueprint(
        model=config.model,
        classes=tuple(read_drawn(folder).classes),
        reading=Reading.of(source),
        mean=tuple(source.mean),
        std=tuple(source.std),
        views=config.evaluation.views,
        precision=stretches[-1].get("precision", "auto"),
        identity=record.result["identity"],
    )
    return record, config, Classifier(network, blueprint)


def _exported(folder: Path, trust: bool) -> Classifier:
    try:
        blueprint = Blueprint.from_json(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{folder / CONFIG} is not that of an exported classifier ({reason})") from error
    foreign = foreign_code(blueprint.model)
    if foreign and not trust:
        raise UserError(
            f"{folder / CONFIG} names code outside of this package ({', '.join(foreign)}): if you trust it, "
            "chimeramix.load_classifier(path, trust=True) calls it"
        )
    register()
    network = build.model_of(blueprint.model, len(blueprint.classes))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{folder / WEIGHTS} is gone or damaged ({first_line(error)}); export it again") from error
    return Classifier(network, blueprint)


def foreign_code(model: Mapping[str, Any]) -> list[str]:
    """What the group `model` would call outside of this package's models, such as `timm.create_model`."""
    return sorted({name for name in targets_in(model) if not name.startswith("chimeramix.models.")})
