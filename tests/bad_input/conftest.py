"""Mistakes of the user's: each is told in one line that names the key or file, the value and the remedy, with exit
status 2, before anything is written. Commands run in this process, as `python train_ROLE.py` runs them."""

import logging
import runpy
import sys

import pytest

from tests.bad_input.words import ROOT, tree


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns its exit status, output and error lines."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(role, *words):
        monkeypatch.setattr(sys, "argv", [f"train_{role}.py", *words])
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        root.handlers = []
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / f"train_{role}.py"), run_name="__main__")
            status = 0
        except SystemExit as stop:
            status = stop.code
        finally:
            root.handlers, root.level = handlers, level
        captured = capsys.readouterr()
        return status or 0, captured.out, captured.err.splitlines()

    return run


@pytest.fixture
def refusal(command, tmp_path):
    """The one line of a command that must be refused and must leave no trace."""

    def run(role, *words):
        before = tree(tmp_path)
        status, out, lines = command(role, *words)
        assert (status, len(lines), out) == (2, 1, ""), "\n".join(lines)
        assert tree(tmp_path) == before
        assert lines[0].startswith("error: ")
        assert len(lines[0]) < 700
        return lines[0].removeprefix("error: ")

    return run
