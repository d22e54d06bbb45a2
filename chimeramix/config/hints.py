"""Type hints of constructors against the values of a configuration, and both in plain words."""

import inspect
import math
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union


def hints_of(target: Any) -> dict[str, Any]:
    """The types that a class or function names for its parameters."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except Exception:  # a library's annotations may name what is not importable at run time
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a constructor takes a value; objects come as nested groups."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
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
    if origin is tuple and Ellipsis not in arguments:
        one_each = isinstance(value, list | tuple) and len(value) == len(arguments)
        return one_each and all(map(fits, value, arguments))
    if origin in (list, tuple, Sequence, Iterable):
        inner = arguments[0] if arguments else Any
        return isinstance(value, list | tuple) and all(fits(item, inner) for item in value)
    return isinstance(value, dict)


def choices_of(hint: Any) -> list[str]:
    """The words that a hint allows; none where it is no choice."""
    if typing.get_origin(hint) is Literal:
        return [str(argument) for argument in typing.get_args(hint)]
    return [choice for argument in typing.get_args(hint) for choice in choices_of(argument)]


def name_of(hint: Any) -> str:
    """What a value must be, such as `a whole number or null`."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    if hint in words:
        return words[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        # What a configuration can hold comes first; PyTorch's optimisers would take tensors, too.
        plain = [argument for argument in arguments if not inspect.isclass(argument) or argument in words]
        return " or ".join(name_of(argument) for argument in plain or arguments)
    if origin in (list, tuple, Sequence, Iterable) and arguments:
        count = f"{len(arguments)} " if origin is tuple and Ellipsis not in arguments else ""
        alternatives = name_of(arguments[0]).split(" or ")
        return f"a list of {count}{' and '.join(map(_plural, alternatives))}"
    name = getattr(hint, "__name__", str(hint))
    return name if dict in (hint, origin) else f"a group with _target_ ({name})"


def _plural(word: str) -> str:
    return f"{word.removeprefix('a ')}s"


def show(value: Any) -> str:
    """A value as the user writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
