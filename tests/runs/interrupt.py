"""Kills that happen within the test's process: quick, and at an exact place."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROLES = ("generator", "classifier")


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def runs_with_generator(role: str, uninterrupted: dict[str, Path], tmp_path: Path) -> Path:
    """A runs folder in which the classifier finds its trained generator."""
    if role == "classifier":
        generator = uninterrupted["generator"]
        shutil.copytree(generator, tmp_path / "generator" / generator.name)
    return tmp_path


def kill_at_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, before: bool = True) -> None:
    """The `number`-th call of a function ends the process, so to speak."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def dying(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == number:
            raise Killed
        value = original(*arguments, **keywords)
        if calls == number:
            raise Killed
        return value

    monkeypatch.setattr(owner, name, dying)
