"""A classifier as a program for other machines: from 8-bit images of any size to logits, with resizing and
normalisation. `torch.export` makes it, and files of both kinds are made of that."""

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils import parametrize

from chimeramix import __version__
from chimeramix.data.image_file import Reading
from chimeramix.errors import RunFailure
from chimeramix.models.real_scattering import RealScattering
from chimeramix.models.scattering import Scattering
from chimeramix.runs.classifier import Classifier
from chimeramix.training.checkpoint import first_line

INPUT, OUTPUT = "images", "logits"
_TOLERANCE = 1e-4  # of the largest logit: other orders of the same sums differ by 1e-6, a wrong operation by 1
_FIXED_POINT = 2.0**22  # PIL rounds its weights to multiples of 1 / 2^22


class Program(nn.Module):
    """What is exported.

    Args:
        classifier: stays as it is; the program has a copy in float32 whose kernels are plain numbers.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.reading = classifier.blueprint.reading
        self.normalize = classifier.normalizer(torch.device("cpu"))
        self.classifier = copy.deepcopy(classifier).cpu().float()
        for module in list(self.classifier.modules()):
            if parametrize.is_parametrized(module):
                _make_plain(module)
            for name, child in module.named_children():
                if isinstance(child, Scattering):
                    setattr(module, name, RealScattering(child, self.reading.size))

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, K]` float32 of images `[B, 3, H, W]` uint8, red, green, blue."""
        logits: Tensor = self.classifier(self.normalize(squares(images, self.reading)))
        return logits


def _make_plain(module: nn.Module) -> None:
    """Has a copy of a parametrised module hold the values that were computed whenever it was called. PyTorch's
    `remove_parametrizations` would change the class, which is that of the original, too."""
    names = list(module.get_submodule("parametrizations").named_children())
    values = {name: getattr(module, name).detach().clone(memory_format=torch.contiguous_format) for name, _ in names}
    del module.parametrizations
    module.__class__ = parametrize.type_before_parametrizations(module)
    for name, value in values.items():
        module.register_buffer(name, value)


def squares(images: Tensor, reading: Reading) -> Tensor:
    """What a `Reading` makes of images, in operations that every runtime has.

    Up to version 12 of Pillow they are the same to the bit. Later versions scale the height of some images first, and
    the squares of arrays (`array`) are torch's: from both they differ by one grey level at most.

    Args:
        images: `[B, 3, H, W]` uint8.

    Returns:
        `[B, 3, S, S]` uint8; `images` themselves where a program is made for just that size.
    """
    height, width = images.shape[2:]
    scaled = reading.resize_to or reading.size
    fixed = isinstance(height, int) and isinstance(width, int)  # else they are symbols, which must not be compared
    if fixed and height == width == scaled == reading.size:
        return images
    rows = torch.scalar_tensor(height, dtype=torch.float64, device=images.device)
    columns = torch.scalar_tensor(width, dtype=torch.float64, device=images.device)
    down = _along(height, rows, torch.minimum(rows, columns), scaled, reading)
    across = _along(width, columns, torch.minimum(rows, columns), scaled, reading)
    pixels = _rounded(down @ _rounded(images.double() @ across.t()))
    start = (scaled - reading.size) // 2
    return pixels[..., start : start + reading.size, start : start + reading.size].byte()


def _along(places: int, length: Tensor, shorter: Tensor, scaled: int, reading: Reading) -> Tensor:
    """`[scaled, places]` float64: weights of one axis' pixels, of which each row sums up to 1.

    Args:
        places, length: of the axis, as a number of the program and as a tensor.
        shorter: length of the image's shorter axis.
    """
    extent = length if reading.resize == "squash" else shorter
    start = (length - extent) / 2
    if reading.resize == "array":
        start = start.floor()
    pixel = torch.arange(places, dtype=torch.float64, device=length.device)
    step = extent / scaled
    centre = start + (torch.arange(scaled, dtype=torch.float64, device=length.device)[:, None] + 0.5) * step
    weights = (1 - ((pixel - centre + 0.5) / step.clamp(min=1)).abs()).clamp(min=0)
    if reading.resize == "array":  # cut out first: pixels beside the square count for nothing
        weights = weights * ((pixel >= start) & (pixel < start + extent))
    return _rounded(weights / weights.sum(1, keepdim=True) * _FIXED_POINT) / _FIXED_POINT


def _rounded(values: Tensor) -> Tensor:
    return (values + 0.5).floor()  # halves up, as PIL; torch.round takes them to the even number


def dynamic_axes(size: tuple[int, int] | None) -> dict[int, str]:
    """Axes of the images that may have any length, with their names; all but the batch have one where a size is
    given."""
    return {0: "batch"} if size else {0: "batch", 2: "height", 3: "width"}


def program_of(classifier: Classifier, size: tuple[int, int] | None = None) -> ExportedProgram:
    """The program of a classifier, for batches of any number of images.

    Args:
        size: height and width of its images; None for any.

    Raises:
        RunFailure: for a model of one's own that `torch.export` does not understand.
    """
    height, width = size or (classifier.image_size + 5, classifier.image_size + 2)
    dynamic = {axis: Dim(name, min=1) for axis, name in dynamic_axes(size).items()}
    images = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    try:
        with torch.no_grad():
            return torch.export.export(
                Program(classifier).eval(), (images,), dynamic_shapes={INPUT: dynamic}, strict=False
            )
    except Exception as error:  # whatever somebody's model does that can't be traced
        raise RunFailure(f"the model can't be exported ({type(error).__name__}: {first_line(error)})") from error


def save_pt2(program: ExportedProgram, classifier: Classifier, path: Path) -> Callable[[Tensor], Tensor]:
    """Writes a file for `torch.export.load`, and gives what that makes of it. The path ends in `.pt2`."""
    content = io.BytesIO()  # a full disk is an error of the file's, then, and none of torch's
    torch.export.save(program, content, extra_files={"classifier.json": json.dumps(description(classifier))})
    path.write_bytes(content.getbuffer())
    loaded: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return loaded


def description(classifier: Classifier) -> dict[str, Any]:
    """What a file says of itself, beside the program."""
    return {
        "classes": list(classifier.classes),
        "input": f"{INPUT}: uint8 [batch, 3, height, width], red, green, blue",
        "output": f"{OUTPUT}: float32 [batch, classes]; their softmax are the probabilities",
        "image_size": classifier.image_size,
        "identity": classifier.blueprint.identity,
        "chimeramix": __version__,
    }


@torch.no_grad()
def compare(program: Callable[[Tensor], Tensor], classifier: Classifier, size: tuple[int, int] | None) -> float:
    """The largest difference between a program's logits and the classifier's, on images of several sizes and batches
    of several lengths. Raises `RunFailure` where it is more than rounding."""
    normalize = classifier.normalizer(torch.device("cpu"))
    largest = 0.0
    for images in _samples(classifier.image_size, size):
        with parametrize.cached():
            expected = classifier(normalize(squares(images, classifier.blueprint.reading)))
        difference = float((program(images) - expected).abs().max())
        largest = max(largest, difference)
        limit = _TOLERANCE * max(1.0, float(expected.abs().max()))
        if not difference <= limit:  # also where it is no number
            raise RunFailure(
                f"the program gives other logits than the run, by up to {difference:.2g}: nothing is written"
            )
    return largest


def _samples(side: int, size: tuple[int, int] | None) -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    shapes = [size, size] if size else [(side, side), (2 * side + 1, side + 4), (max(1, side // 2), side)]
    for count, shape in enumerate(shapes, 1):
        yield torch.randint(256, (count, 3, *shape), generator=rng, dtype=torch.uint8)
