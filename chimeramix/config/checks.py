"""Checks of composed values, and of a config group against the constructor it names: unknown and missing keys, types.

A constructor's signature is the schema of its group. What a constructor checks itself (ranges, combinations) it raises
as `ValueError` when the run is built; `as_user_error` names the group then.
"""

import dataclasses
import difflib
import functools
import inspect
import logging
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Union

from hydra.errors import InstantiationException
from hydra.utils import get_object

from chimeramix.errors import UserError

logging.getLogger("hydra.utils").disabled = True  # it logs the errors that are raised anyway

GIVEN_BY_THE_RUN: dict[str, tuple[str, ...]] = {
    "dataset": ("data_dir", "mirror", "workers"),
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


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no candidate is close.

    Words may be paths (`optimizer.lr`, `demo/digits`): one that ends alike is what was meant, whatever comes before.
    """
    by_end: dict[str, list[str]] = {}
    for candidate in candidates:
        by_end.setdefault(_end(candidate), []).append(candidate)
    if _end(word) in by_end:
        close = difflib.get_close_matches(word, by_end[_end(word)], n=1, cutoff=0)
    else:
        close = difflib.get_close_matches(word, [path for paths in by_end.values() for path in paths], n=1)
        if not close and (end := difflib.get_close_matches(_end(word), by_end, n=1)):
            close = difflib.get_close_matches(word, by_end[end[0]], n=1, cutoff=0)
    return f"; did you mean {close[0]}?" if close else ""


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
    if not _fits(seed, int) or seed < 0:
        raise UserError(f"generator.seed={_show(seed)}: must be a whole number, not negative")
    return int(seed)


def check_values(section: Any, prefix: str = "") -> None:
    """Checks ranges and choices in the typed part of the configuration. Raises `UserError`."""
    for field in dataclasses.fields(section):
        value, path = getattr(section, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            check_values(value, f"{path}.")
            continue
        least, choices = field.metadata.get("least"), field.metadata.get("choices")
        if least is not None and value is not None and not value >= least:  # NaN is not
            raise UserError(f"{path}={value}: must {'be at least 1' if least else 'not be negative'}")
        if choices and not any(value is choice or value == choice for choice in choices):
            shown = [_show(choice) for choice in choices]
            raise UserError(f"{path}={_show(value)}: must be {' or '.join(shown)}{did_you_mean(str(value), shown)}")


def target_of(node: dict[str, Any], path: str) -> Callable[..., Any]:
    """The class or function that a group names. Raises `UserError`."""
    try:
        found: Callable[..., Any] = get_object(node["_target_"])
        return found
    except Exception as error:  # whatever importing a module may raise
        reason = " ".join(str(error).split()).partition(" Are you sure")[0]
        raise UserError(f"{path}._target_={node['_target_']}: {reason}") from error


@functools.cache
def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or function by name."""
    return inspect.signature(target).parameters


def takes_any_key(target: Callable[..., Any]) -> bool:
    """Whether a class or function has `**kwargs`."""
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters_of(target).values())


def check_types(node: Any, path: str) -> None:
    """Checks a group and the groups nested in it. Raises `UserError` naming the key, its value and the remedy."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{path}={_show(node)}: must be a group of keys that names its class as {path}._target_")
    target = target_of(node, path)
    # The mixers of a chain are given what any mixer is.
    given = GIVEN_BY_THE_RUN.get(re.sub(r"^mixer(\.mixers\.\w+)+$", "mixer", path), ())
    parameters = {name: p for name, p in parameters_of(target).items() if name not in given}
    any_key = takes_any_key(target)  # what it does not name it may hand on
    hints = _hints(target)
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue
        if key in given:
            raise UserError(f"{path}.{key} is decided by the run: remove it")
        if key not in parameters and not any_key:
            suggestion = did_you_mean(f"{path}.{key}", [f"{path}.{name}" for name in parameters])
            raise UserError(f"unknown key {path}.{key}{suggestion}")
        _check_value(value, hints.get(key, Any), f"{path}.{key}", key)
    for name, parameter in parameters.items():
        variable = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = parameter.default is inspect.Parameter.empty and not variable
        if required and name not in node and not node.get("_partial_"):
            raise UserError(f"{path}.{name} is missing: add {path}.{name}=VALUE")


def _check_value(value: Any, hint: Any, path: str, key: str) -> None:
    if isinstance(value, dict) and "_target_" in value:
        check_types(value, path)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for position, item in enumerate(value):
            check_types(item, f"{path}[{position}]")
    elif isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
        for name, item in value.items():
            check_types(item, f"{path}.{name}")
    elif not _fits(value, hint):
        if value is None and not _choices(hint):
            other = f" or choose one with {key}=NAME" if key in _SHARED_GROUPS else ""
            raise UserError(f"{path} is not set: set {path}=VALUE{other}")
        raise UserError(f"{path}={_show(value)}: must be {_name(hint)}{did_you_mean(str(value), _choices(hint))}")


@contextmanager
def as_user_error(path: str) -> Iterator[None]:
    """Turns a constructor's `ValueError` into a `UserError` that names the group."""
    try:
        yield
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError):
            nested = str(error).rsplit("full_key: ", 1)[-1].strip() if "full_key: " in str(error) else ""
            raise UserError(_place(".".join(part for part in (path, nested) if part), cause)) from error
        raise
    except ValueError as error:
        raise UserError(_place(path, error)) from error


def _place(path: str, error: ValueError) -> str:
    text = str(error)
    return text if text.startswith(f"{path}.") else f"{path}: {text}"


@functools.cache
def _hints(target: Any) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except Exception:  # a library's annotations may name what is not importable at run time
        return {}


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str)
    if origin in (list, tuple, Sequence, Iterable):
        inner = arguments[0] if arguments else Any
        return isinstance(value, list | tuple) and all(_fits(item, inner) for item in value)
    return isinstance(value, dict)  # objects come as nested groups


def _choices(hint: Any) -> list[str]:
    if typing.get_origin(hint) is Literal:
        return [str(argument) for argument in typing.get_args(hint)]
    return [choice for argument in typing.get_args(hint) for choice in _choices(argument)]


def _name(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    if hint in words:
        return words[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        # What a configuration can hold comes first; PyTorch's optimisers would take tensors, too.
        plain = [argument for argument in arguments if not inspect.isclass(argument) or argument in words]
        return " or ".join(_name(argument) for argument in plain or arguments)
    if origin in (list, tuple, Sequence, Iterable) and arguments:
        return f"a list of {_name(arguments[0]).removeprefix('a ')}s"
    return getattr(hint, "__name__", str(hint))


def _show(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
