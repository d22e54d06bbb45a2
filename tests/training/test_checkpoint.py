"""Files that are whole or absent, and checkpoints that are refused in one line whatever is wrong with them."""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chimeramix.errors import RunFailure, UserError
from chimeramix.files import read_json_lines, write_atomically, write_json
from chimeramix.training.checkpoint import load_checkpoint, save_checkpoint
from chimeramix.training.metrics import MetricsFile


def state_of_a_run() -> dict[str, Any]:
    rng = torch.Generator().manual_seed(0)
    weights = {f"layer{number}.weight": torch.randn(8, 8, generator=rng) for number in range(4)}
    return {"identity": "0123456789ab", "training": weights, "done": {"epoch": 3, "step": 30, "last": {"loss": 0.5}}}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    save_checkpoint(path, state_of_a_run())
    return path.read_bytes()


def same(state: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        return torch.equal(state, expected)
    if isinstance(expected, dict):
        return state.keys() == expected.keys() and all(same(state[key], expected[key]) for key in expected)
    return bool(state == expected)


def test_what_was_saved_is_loaded(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    assert same(load_checkpoint(path, "0123456789ab"), state_of_a_run())
    assert torch.load(path, weights_only=True)["done"]["step"] == 30


def test_every_truncation_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for length in [*range(0, len(content), 41), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"checkpoint\.pt is damaged .*rerun=true") as error:
            load_checkpoint(path, "0123456789ab")
        assert "\n" not in str(error.value)


def test_no_changed_byte_goes_unnoticed(content: bytes, tmp_path: Path) -> None:
    """Refused, or (in the archive's padding) without effect: but never other weights. torch.load alone does not see a
    changed byte of a tensor."""
    path, chance, refused = tmp_path / "checkpoint.pt", random.Random(0), 0
    places = range(0, len(content), 7)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            state = load_checkpoint(path, "0123456789ab")
        except UserError:
            refused += 1
        else:
            assert same(state, state_of_a_run()), place
    assert refused > len(places) / 2


@pytest.mark.parametrize("other", [b"", b"\0" * 5000, b"PK\x03\x04", b"no checkpoint at all\n" * 100])
def test_other_files_are_refused(other: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(other)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path, "0123456789ab")


@pytest.mark.parametrize("state", [{"identity": "ba9876543210"}, {}, [1, 2], torch.zeros(3)])
def test_a_state_of_something_else_is_refused(state: Any, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(state, path)
    with pytest.raises(UserError, match="belongs to another configuration"):
        load_checkpoint(path, "0123456789ab")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run(zipped: bool, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harmed"),)

    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": Malicious()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path, "0123456789ab")
    assert not (tmp_path / "harmed").exists()


def fail_before_writing(path: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_after_writing(path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("write", [fail_before_writing, fail_after_writing])
def test_a_failed_write_leaves_the_old_file(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RunFailure, match=r"file could not be written \(\[Errno 28\] No space left on device\)"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_leftover_of_a_kill_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_text("left by a killed process")
    write_json(tmp_path / "file", {"é": [1, None]})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"é": [1, None]}


def test_a_full_disk_as_the_system_reports_it(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end."""
    code = """
import resource, sys
from pathlib import Path
import torch
from chimeramix.errors import RunFailure
from chimeramix.files import write_atomically
from chimeramix.training.checkpoint import save_checkpoint

tensors = {"a": torch.zeros(100_000), "b": torch.zeros(1000)}
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
writers = {
    "checkpoint": lambda path: save_checkpoint(path, tensors),
    "text": lambda path: write_atomically(path, lambda temporary: temporary.write_text("x" * 20_000)),
}
for name, write in writers.items():
    try:
        write(Path(sys.argv[1]) / name)
    except RunFailure as failure:
        print(failure)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [Path(line.split()[0]).name for line in lines] == ["checkpoint", "text"]
    assert all("could not be written" in line and "File too large" in line for line in lines)
    assert not list(tmp_path.iterdir())


class TestMetricsFile:
    def test_a_resumed_run_cuts_what_it_trains_again(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        metrics = MetricsFile(path)
        metrics.append({"epoch": 1})
        size = metrics.size
        metrics.append({"epoch": 2, "loss": 1.0})
        with path.open("ab") as file:
            file.write(b'{"epoch": 3, "lo')  # killed while writing
        metrics = MetricsFile(path, size)
        metrics.append({"epoch": 2, "loss": 2.0})
        assert read_json_lines(path) == [{"epoch": 1}, {"epoch": 2, "loss": 2.0}]
        assert metrics.size == path.stat().st_size

    def test_missing_epochs_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"metrics\.jsonl lacks epochs .*rerun=true"):
            MetricsFile(tmp_path / "metrics.jsonl", 10)

    def test_a_full_disk_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        metrics = MetricsFile(tmp_path / "metrics.jsonl")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunFailure, match=r"metrics\.jsonl could not be written .*No space left"):
            metrics.append({"epoch": 1})
        assert metrics.size == 0
