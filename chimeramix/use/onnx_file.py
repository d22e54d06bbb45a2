"""A classifier's program as an ONNX file, for runtimes without PyTorch. Needs `pip install "chimeramix[onnx]"`."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from chimeramix.errors import RunFailure
from chimeramix.runs.classifier import Classifier
from chimeramix.training.checkpoint import first_line
from chimeramix.use.program import INPUT, OUTPUT, description, dynamic_axes

_ERRORS_ONLY = 3  # of onnxruntime's degrees


def check_installed() -> None:
    """Raises `RunFailure` where one of the packages is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("onnx", "onnxruntime", "onnxscript"):
            raise
        raise RunFailure(
            f'{missing} is not installed; chimeramix export --format onnx needs it: pip install "chimeramix[onnx]"'
        ) from error


def save_onnx(
    program: ExportedProgram, classifier: Classifier, path: Path, size: tuple[int, int] | None
) -> Callable[[Tensor], Tensor]:
    """Writes an ONNX file, and gives what onnxruntime makes of it on the CPU.

    Args:
        size: with which the program was made.

    Raises:
        RunFailure: for a model with an operator that ONNX lacks.
    """
    import onnxruntime

    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: dynamic_axes(size)},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        raise RunFailure(f"the model can't be written as ONNX ({_reason(error)})") from error
    assert made is not None
    for key, value in description(classifier).items():
        made.model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    made.save(path, external_data=False)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def _reason(error: Exception) -> str:
    """Of torch's long messages the line that names the operator, which the first of the errors has."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and onnxscript say to those who develop them."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
