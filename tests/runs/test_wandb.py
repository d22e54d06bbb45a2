"""Weights & Biases: with the real client offline, and with one that fails."""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chimeramix.runs.folder import RunFolder
from chimeramix.training import loop
from chimeramix.training.tracking import WandbTracker
from tests.runs.interrupt import Killed, kill_at_call
from tests.runs.tiny import assert_same_run, folder_of, overrides, run

ROOT = Path(__file__).resolve().parents[2]


def records_of(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file, which is a LevelDB log of protocol buffers behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, block, position, parts = path.read_bytes(), 32768, 7, b""
    while position + 7 <= len(content):
        left = block - position % block
        if left < 7:  # no room for another header in this block
            position += left
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        position += 7
        parts += content[position : position + length]
        position += length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def uploaded(folder: Path) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """What `wandb sync` would upload of a run's folder: the run's own record, its history and its summary."""
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    own, history, summary = None, [], {}
    for record in records_of(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            own = record.run
        elif kind == "history":
            history.append(
                {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            )
        elif kind == "summary":
            summary.update(
                {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update}
            )
    return own, history, summary


def in_a_process(role: str, runs: Path, *more: str) -> Path:
    command = [sys.executable, str(ROOT / f"train_{role}.py"), *overrides(role, runs), *more]
    done = subprocess.run([*command, "wandb.mode=offline"], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder_of(role, runs)


def test_the_real_client_records_offline(tmp_path: Path) -> None:
    folder = in_a_process("generator", tmp_path, "seed=3")
    own, history, _ = uploaded(folder)
    assert own.run_id == folder.name.rsplit("-", 1)[-1]
    assert own.display_name == folder.name
    assert own.run_group == "digits-n2-chimera_segments"  # all seeds of it
    assert own.job_type == "generator"
    assert list(own.tags) == ["digits", "chimeramix_segmentation"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["_step"] for record in history] == [record["step"] for record in metrics]
    for logged, record in zip(history, metrics, strict=True):
        assert logged.items() >= record.items()
    assert "pictures/path" in history[-1]


def test_an_offline_run_that_was_interrupted_is_one_complete_run(
    tmp_path: Path, uninterrupted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first epoch was recorded by a process that was killed in the second."""
    with monkeypatch.context() as patched:
        # After five steps an epoch ends, and two more are done.
        kill_at_call(patched, loop, "save_checkpoint", 7, before=False)
        with pytest.raises(Killed):
            run("generator", tmp_path, "wandb.mode=offline", "monitor.checkpoint_seconds=0")
    folder = folder_of("generator", tmp_path)
    _finish(folder)
    assert not (folder / "result.json").exists()
    assert len(uploaded(folder)[1]) == 1
    run("generator", tmp_path, "wandb.mode=offline", "monitor.checkpoint_seconds=0")
    _finish(folder)
    own, history, _ = uploaded(folder)
    assert own.run_id == folder.name.rsplit("-", 1)[-1]
    assert [record["epoch"] for record in history] == [1, 2]
    assert_same_run(folder, uninterrupted["generator"])


def _finish(folder: Path) -> None:
    """Ends W&B's run and waits for its file: the client's service may still write when `finish` returns."""
    import wandb

    wandb.finish()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        newest = max(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
        if any(record.WhichOneof("record_type") == "exit" for record in records_of(newest)):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{newest} has no end")


def test_wandb_is_imported_only_when_asked(tmp_path: Path) -> None:
    code = (
        "import sys; from chimeramix.runs.train import train; from chimeramix.config.compose import compose_settings; "
        f"train(compose_settings('generator', {overrides('generator', tmp_path)!r})); assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize("failing", ["init", "log", "finish"])
def test_training_survives_a_failing_wandb(
    failing: str,
    tmp_path: Path,
    uninterrupted: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class FailingRun:
        summary: dict[str, Any] = {}  # noqa: RUF012

        def log(self, *arguments: Any, **keywords: Any) -> None:
            if failing == "log":
                raise ConnectionError("no network")

        def finish(self) -> None:
            if failing == "finish":
                raise ConnectionError("no network")

    class FailingWandb:
        run = None
        Image = staticmethod(lambda path: path)

        @staticmethod
        def init(**settings: Any) -> FailingRun:
            if failing == "init":
                raise ConnectionError("no network")
            return FailingRun()

    monkeypatch.setitem(sys.modules, "wandb", FailingWandb)
    with caplog.at_level("WARNING"):
        folder = run("generator", tmp_path, "wandb.mode=online")
    assert caplog.messages == ["Weights & Biases failed, the training goes on without it: no network"]
    assert_same_run(folder, uninterrupted["generator"])


@pytest.mark.parametrize(("resumed", "expected"), [(True, [3]), (False, [1, 2, 3])])
def test_a_server_gets_what_it_does_not_have(
    resumed: bool, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs from before W&B was switched on, or from offline."""
    logged: list[int] = []
    server = SimpleNamespace(resumed=resumed, log=lambda record, step: logged.append(record["epoch"]))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None, init=lambda **settings: server))
    tracker = WandbTracker({"mode": "online"}, "0123456789ab", "generator", tmp_path, {})
    tracker.resume([{"epoch": 1, "step": 10}, {"epoch": 2, "step": 20}])
    tracker.log({"epoch": 3, "step": 30})
    assert logged == expected


def test_a_run_that_starts_over_is_another_one_for_wandb(tmp_path: Path) -> None:
    """Which would take no record of an earlier step than it has."""
    folder = RunFolder(tmp_path, {"role": "generator"}, "run")
    folder.path.mkdir(parents=True)
    ids = [folder.wandb_id]
    for _ in range(2):
        folder.clear()
        ids.append(folder.wandb_id)
        assert folder.wandb_id == ids[-1]  # goes on
    assert ids[0] == folder.identity
    assert len({*ids}) == 3


def test_wandb_continues_a_run_and_closes_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sweep, `wandb.init` would hand out the run of the job before, where that one failed."""
    calls: list[Any] = []
    wandb = SimpleNamespace(
        run=object(), finish=lambda exit_code: calls.append(exit_code), init=lambda **settings: calls.append(settings)
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    options = {"mode": "online", "project": "p", "entity": None, "group": "group", "tags": ["a", "b"]}
    WandbTracker(options, "0123456789ab", "generator", tmp_path, {"seed": 0})
    assert calls[0] == 1
    expected = {"mode": "online", "project": "p", "id": "0123456789ab", "resume": "allow", "dir": str(tmp_path)}
    assert calls[1].items() >= expected.items()
    assert (calls[1]["group"], calls[1]["tags"], calls[1]["job_type"]) == ("group", ["a", "b"], "generator")
