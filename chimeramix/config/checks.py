"""Checks of composed values, and of a config group against the constructor it names: unknown and missing keys, types.

A constructor's signature is the schema of its group. What a constructor checks itself (ranges, combinations) it raises
as `ValueError` when the run is built; `as_user_error` names the group then.
"""

import dataclasses
import difflib
import inspect
import logging
import math
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object

from chimeramix.config.hints import choices_of, fits, hints_of, name_of, show
from chimeramix.config.schema import GROUPS, ValidationConfig
from chimeramix.errors import EXPECTED, Interrupted, UserError

GIVEN_BY_THE_RUN: dict[str, tuple[str, ...]] = {
    "dataset": ("data_dir", "mirror", "workers", "needs_test"),
    "model": ("num_classes",),
    "mixer": ("num_classes", "generator", "partners", "views", "rng"),
    "loss": ("num_classes",),
    "optimizer": ("params",),
    "generator.optimizer": ("params",),
    "generator.teacher": ("num_classes",),
}
"""What the run has for a constructor of each group, which gets what it names; a configuration can't set it."""

# Groups that others take over by interpolation, such as `mask: ${mask}`.
_SHARED_GROUPS = ("mask", "generator")


def did_you_mean(word: str, candidates: Iterable[str], within: str = "") -> str:
    """`; did you mean X?`, or nothing where no candidate is close.

    Words may be paths (`optimizer.lr`, `demo/digits`): one that ends alike is what was meant, whatever comes before.

    Args:
        within: how the word begins and what is meant must begin; it says nothing of how close the rest is.
    """
    word = word.removeprefix(within)
    candidates = [candidate.removeprefix(within) for candidate in candidates if candidate.startswith(within)]
    by_end: dict[str, list[str]] = {}
    for candidate in candidates:
        by_end.setdefault(_end(candidate), []).append(candidate)
    if _end(word) in by_end:
        close = difflib.get_close_matches(word, by_end[_end(word)], n=1, cutoff=0)
    else:
        close = difflib.get_close_matches(word, [path for paths in by_end.values() for path in paths], n=1)
        if not close and (end := difflib.get_close_matches(_end(word), by_end, n=1)):
            close = difflib.get_close_matches(word, by_end[end[0]], n=1, cutoff=0)
    return f"; did you mean {within}{close[0]}?" if close else ""


def _end(path: str) -> str:
    return re.split(r"[./]", path)[-1]


def resolve_stages(values: dict[str, Any]) -> None:
    """A mask may have one value for the generator's stage and one for the classifier's (`segment_size`); from here on
    each stage's copy of the mask holds its own, so that neither stage's identity depends on the other's."""
    mixer = values["mixer"] or {}
    mixers = [mixer, *(mixer.get("mixers") or {}).values()]
    owners = [(values["generator"] or {}, "generator"), (values, "classifier")]
    for owner, stage in owners + [(each, "classifier") for each in mixers]:
        mask = owner.get("mask")
        if isinstance(mask, dict) and isinstance(mask.get("segment_size"), dict):
            sizes = mask["segment_size"]
            for key in sizes:
                if key not in ("generator", "classifier"):
                    raise UserError(
                        f"unknown key mask.segment_size.{key}{did_you_mean(key, ['generator', 'classifier'])}"
                    )
            mask["segment_size"] = sizes.get(stage)


def take_generator_seed(values: dict[str, Any]) -> int | None:
    """Removes `generator.seed`, which is the run's own seed where a generator is trained and no setting of the
    generator's class: a generator is the same one whichever classifier's command names it. Raises `UserError`."""
    generator = values["generator"]
    if not isinstance(generator, dict) or "seed" not in generator:
        return None
    seed = generator.pop("seed")
    if not fits(seed, int) or seed < 0:
        raise UserError(f"generator.seed={show(seed)}: must be a whole number, not negative")
    return int(seed)


def check_values(section: Any, prefix: str = "") -> None:
    """Checks ranges and choices in the typed part of the configuration. Raises `UserError`."""
    for field in dataclasses.fields(section):
        value, path = getattr(section, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            check_values(value, f"{path}.")
            continue
        least, most, choices = (field.metadata.get(name) for name in ("least", "most", "choices"))
        _check_text(value, path)
        if isinstance(value, float) and math.isnan(value):
            raise UserError(f"{path}={value}: must be a number")
        if least is not None and value is not None and value < least:
            raise UserError(f"{path}={value}: must {f'be at least {least}' if least else 'not be negative'}")
        if most is not None and value is not None and value > most:
            raise UserError(f"{path}={value}: must be at most {most:,}")
        if choices and not any(type(value) is type(choice) and value == choice for choice in choices):
            shown = [show(choice) for choice in choices]
            raise UserError(f"{path}={show(value)}: must be {' or '.join(shown)}{did_you_mean(str(value), shown)}")


def check_validation(validation: ValidationConfig, has_split: bool) -> None:
    """Checks that its keys go together. Raises `UserError`."""
    fold, extra, published = validation.fold, validation.extra, validation.published
    if (fold is not None) + (extra is not None) + published > 1:
        raise UserError("validation: choose one of validation.fold, validation.extra and validation.published")
    if fold is not None and fold >= validation.folds:
        raise UserError(f"validation.fold={fold}: must be below validation.folds={validation.folds}")
    if published and not has_split:
        raise UserError("validation.published=true: images that are drawn have no published cut; choose split=gem")
    usual = ValidationConfig()
    if fold is None and validation.folds != usual.folds:
        raise UserError(f"validation.folds={validation.folds}: has no effect without validation.fold=NUMBER")
    if fold is None and extra is None and validation.seed != usual.seed:
        raise UserError(
            f"validation.seed={validation.seed}: has no effect without validation.fold=NUMBER or "
            "validation.extra=NUMBER"
        )


def _check_text(value: Any, path: str) -> None:
    """Refuses an empty text, line breaks, and what is no UTF-8: texts name files and stand in tables."""
    if isinstance(value, str) and not value.strip():
        raise UserError(f"{path}={value}: must not be empty")
    if isinstance(value, str) and not value.isprintable():
        raise UserError(f"{path}={value!r}: must be one line of printable characters")


def target_of(node: dict[str, Any], path: str) -> Callable[..., Any]:
    """The class or function that a group names. Raises `UserError`."""
    logger = logging.getLogger("hydra.utils")
    before, logger.disabled = logger.disabled, True  # it logs what is raised here anyway
    try:
        found: Callable[..., Any] = get_object(node["_target_"])
        return found
    except Exception as error:  # whatever importing a module may raise
        reason = " ".join(str(error).split()).partition(" Are you sure")[0]
        missing = isinstance(error.__cause__, ModuleNotFoundError)
        remedy = "; your own modules lie in the folder of --config-dir, or on PYTHONPATH" if missing else ""
        raise UserError(f"{path}._target_={node['_target_']}: {reason}{remedy}") from error
    finally:
        logger.disabled = before


def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or function by name."""
    return inspect.signature(target).parameters


def takes_any_key(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether `**kwargs` is among the parameters of a class or function."""
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


def check_types(node: Any, path: str) -> None:
    """Checks a group and the groups nested in it. Raises `UserError` naming the key, its value and the remedy."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{path}={show(node)}: must be a group of keys that names its class as {path}._target_")
    target = target_of(node, path)
    # The mixers of a chain are given what any mixer is.
    given = GIVEN_BY_THE_RUN.get(re.sub(r"^mixer(\.mixers\.\w+)+$", "mixer", path), ())
    parameters = {name: p for name, p in parameters_of(target).items() if name not in given}
    any_key = takes_any_key(parameters)  # what it does not name it may hand on
    hints = hints_of(target)
    partial = node.get("_partial_", False)
    if "params" in given and partial is not True:
        raise UserError(f"{path}._partial_={show(partial)}: must be true, because the run hands over the parameters")
    if partial and path in GROUPS and "params" not in given:
        raise UserError(f"{path}._partial_={show(partial)}: must be false or left out")
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue
        if key in given:
            raise UserError(f"{path}.{key} is decided by the run: remove it")
        if key not in parameters and not any_key:
            suggestion = did_you_mean(f"{path}.{key}", [f"{path}.{name}" for name in parameters], f"{path}.")
            raise UserError(f"unknown key {path}.{key}{suggestion}")
        _check_value(value, hints.get(key, Any), f"{path}.{key}", key)
    for name, parameter in parameters.items():
        variable = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = parameter.default is inspect.Parameter.empty and not variable
        # A library's own rate would stand in for the recipe's in silence.
        required = (required and not node.get("_partial_")) or (name == "lr" and "params" in given)
        if required and name not in node:
            raise UserError(f"{path}.{name} is missing: add {path}.{name}=VALUE")


def _check_value(value: Any, hint: Any, path: str, key: str) -> None:
    _check_text(value, path)
    if isinstance(value, dict) and "_target_" in value:
        check_types(value, path)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for position, item in enumerate(value):
            check_types(item, f"{path}[{position}]")
    elif isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
        for name, item in value.items():
            check_types(item, f"{path}.{name}")
    elif not fits(value, hint):
        if value is None and not choices_of(hint):
            other = f" or choose one with {key}=NAME" if key in _SHARED_GROUPS else ""
            raise UserError(f"{path} is not set: set {path}=VALUE{other}")
        raise UserError(f"{path}={show(value)}: must be {name_of(hint)}{did_you_mean(str(value), choices_of(hint))}")


@contextmanager
def as_user_error(path: str) -> Iterator[None]:
    """Turns what a constructor raises into a `UserError` that names the group.

    A `ValueError` is a part's own word on a setting; anything else is shown with the line where it happened, which
    whoever writes a part needs.
    """
    try:
        yield
    except (*EXPECTED, Interrupted):
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, UserError):
            raise cause from None
        nested = str(error).rsplit("full_key: ", 1)[-1].strip() if "full_key: " in str(error) else ""
        raise UserError(_place(".".join(part for part in (path, nested) if part), cause)) from error


def _place(path: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError):
        *_, last = traceback.extract_tb(error.__traceback__)
        text = f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
    return text if text.startswith(f"{path}.") else f"{path}: {text}"
