"""Two processes with one identity: the second waits, then reports or takes over."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chimeramix.errors import UserError
from chimeramix.runs.folder import RunFolder
from tests.runs.interrupt import ROLES, runs_with_generator
from tests.runs.test_resume import command
from tests.runs.tiny import assert_same_run, folder_of, run


@pytest.fixture
def waiting(
    request: pytest.FixtureRequest,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[tuple[Path, ExitStack, threading.Thread]]:
    """A run that waits for its folder, which the test holds until it closes the stack."""
    role = request.param
    runs = runs_with_generator(role, uninterrupted, tmp_path)
    spec = json.loads((uninterrupted[role] / "spec.json").read_text())
    folder = RunFolder(runs, spec, uninterrupted[role].name.rsplit("-", 1)[0])
    with caplog.at_level("INFO"), ExitStack() as held:
        held.enter_context(folder.lock())
        thread = threading.Thread(target=run, args=(role, runs))
        thread.start()
        while thread.is_alive() and "in use by another process" not in caplog.text:
            thread.join(0.01)
        assert not (folder.path / "config.yaml").exists()
        yield folder.path, held, thread
    thread.join()


@pytest.mark.parametrize("waiting", ROLES, indirect=True)
def test_waits_and_reports_what_the_other_finished(
    waiting: tuple[Path, ExitStack, threading.Thread],
    uninterrupted: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, held, thread = waiting
    finished = uninterrupted[folder.parent.name]
    shutil.copytree(finished, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    before = (folder / "train.log").read_text()
    held.close()
    thread.join()
    assert caplog.messages[-1].startswith(f"done already: {folder}")
    assert (folder / "train.log").read_text() == before
    assert_same_run(folder, finished)


@pytest.mark.parametrize("waiting", ["generator"], indirect=True)
def test_waits_and_takes_over_what_the_other_did_not_finish(
    waiting: tuple[Path, ExitStack, threading.Thread], uninterrupted: dict[str, Path]
) -> None:
    folder, held, thread = waiting
    held.close()
    thread.join()
    assert_same_run(folder, uninterrupted["generator"])


def test_the_lock_of_a_killed_process_is_free(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """And the one that waits for it goes on from its checkpoint."""
    first = subprocess.Popen(command("generator", tmp_path, "monitor.checkpoint_seconds=0"), stderr=subprocess.DEVNULL)
    try:
        while first.poll() is None and not list(tmp_path.glob("generator/*/.lock")):
            time.sleep(0.005)
        second = subprocess.Popen(command("generator", tmp_path), stderr=subprocess.PIPE, text=True)
        while first.poll() is None and not list(tmp_path.glob("generator/*/checkpoint.pt")):
            time.sleep(0.005)
    finally:
        first.kill()
        first.wait()
    printed = second.communicate(timeout=120)[1]
    assert second.returncode == 0, printed
    assert_same_run(folder_of("generator", tmp_path), uninterrupted["generator"])


@pytest.mark.parametrize("content", ["", "{", "[]", "[1]", "5", "null", '"text"', "{}", '{"identity": "another"}'])
def test_a_damaged_result_is_told(content: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {"role": "generator"}, "name")
    assert folder.result() is None
    folder.path.mkdir(parents=True)
    assert folder.result() is None
    (folder.path / "result.json").write_text(content)
    with pytest.raises(UserError, match=r"result\.json is damaged .*rerun=true"):
        folder.result()


def test_a_folder_is_found_by_its_identity(tmp_path: Path) -> None:
    first = RunFolder(tmp_path, {"role": "generator", "seed": 1}, "name")
    assert not list(tmp_path.iterdir())
    with first.lock():
        pass
    assert RunFolder(tmp_path, {"seed": 1, "role": "generator"}, "another-name").path == first.path
    assert RunFolder(tmp_path, {"role": "generator", "seed": 2}, "name").path != first.path


@pytest.mark.parametrize("parent", ["file", "file/deeper"])
def test_a_folder_that_cannot_be_made_is_told(parent: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"machine\.runs_dir: .* can't be written"):
        RunFolder(tmp_path / parent, {"role": "generator"}, "name")._acquire()
