"""What a run was computed with: recorded for every process, and compared with what computes today."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from chimeramix.config.compose import compose_settings
from chimeramix.config.tree import Tree
from chimeramix.errors import UserError
from chimeramix.runs import sources
from chimeramix.runs.folder import commit_of, git_commit
from chimeramix.runs.sources import code_of
from chimeramix.sweep.driver import sweep
from chimeramix.training.classifier import ClassifierTraining
from tests.runs.interrupt import Killed, kill_at_call
from tests.runs.tiny import folder_of, overrides, run

BF16 = "machine.precision=bf16"


@pytest.fixture(autouse=True)
def _as_before(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("INFO")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def baseline(runs: Path, *more: str) -> Path:
    return run("classifier", runs, *more, experiment="baseline")


def stretches(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "result.json").read_text())["stretches"]
    return found


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in bf16 on one thread that was killed in its seventh step of ten."""
    with monkeypatch.context() as patch:
        kill_at_call(patch, ClassifierTraining, "step", 7)
        with pytest.raises(Killed):
            baseline(tmp_path, BF16, "machine.threads=1", "monitor.checkpoint_seconds=0")
    return tmp_path


def test_an_uninterrupted_run_is_one_stretch(tmp_path: Path) -> None:
    (stretch,) = stretches(baseline(tmp_path, BF16, "machine.threads=1"))
    assert stretch.pop("device").startswith("cpu (")
    assert len(stretch.pop("package")) == 64
    assert stretch == {
        "from": 0,
        "to": 10,
        "precision": "bf16",
        "compile": False,
        "threads": 1,
        "chimeramix": version("chimeramix"),
        "git_commit": git_commit(),
        "torch": version("torch"),
        "modules": {},
    }


def test_the_commit_is_of_the_repository_that_holds_the_code(tmp_path: Path) -> None:
    """Not of one in which an environment happens to lie with the installed package."""

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    code, installed = tmp_path / "code.py", tmp_path / ".venv" / "package" / "code.py"
    installed.parent.mkdir(parents=True)
    for path in (code, installed):
        path.write_text("a = 1\n")
    assert commit_of(code) is None
    git("init")
    git("add", "code.py")
    git("commit", "-m", "Begin")
    commit = git("rev-parse", "HEAD").strip()
    assert commit_of(code) == commit
    assert commit_of(installed) is None
    code.write_text("a = 2\n")
    assert commit_of(code) == f"{commit}+"


def test_another_precision_does_not_go_on(interrupted: Path) -> None:
    folder = folder_of("classifier", interrupted)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    told = r"machine\.precision is fp32 here, and .*checkpoint\.pt was computed in bf16: add machine\.precision=bf16"
    with pytest.raises(UserError, match=told):
        baseline(interrupted)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert stretches(baseline(interrupted, "rerun=true"))[0]["precision"] == "fp32"


def test_other_threads_go_on_and_are_told(interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = baseline(interrupted, BF16, "machine.threads=2")
    (line,) = [message for message in caplog.messages if message.startswith("changed since the run was interrupted")]
    assert "interrupted: threads (1 then); it goes on" in line
    assert line in (folder / "train.log").read_text()
    parts = [(each["from"], each["to"], each["threads"], each["precision"]) for each in stretches(folder)]
    assert parts == [(0, 6, 1, "bf16"), (6, 10, 2, "bf16")]


def test_a_checkpoint_without_this_record_goes_on(interrupted: Path) -> None:
    path = folder_of("classifier", interrupted) / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["done"]["stretches"]
    torch.save(state, path)
    assert [(each["from"], each["to"]) for each in stretches(baseline(interrupted))] == [(6, 10)]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a loss of one's own, in a package whose modules import each other."""
    package = tmp_path / "own_parts"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "losses.py").write_text(
        "import json, torch\nfrom chimeramix.losses import SoftTargetCrossEntropy\nfrom . import numbers\n"
        "from own_parts.more.deeper import Nothing\nclass Loss(SoftTargetCrossEntropy): scale = numbers.SCALE\n"
    )
    (package / "numbers.py").write_text("SCALE = 1\n")
    (package / "more").mkdir()
    (package / "more" / "deeper.py").write_text("class Nothing: ...\n")
    (package / "unused.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
        del sys.modules[name]


LOSS = "loss._target_=own_parts.losses.Loss"


def test_ones_own_modules_are_recorded_with_what_they_import(own: Path) -> None:
    config = compose_settings("classifier", ["+dataset=demo/digits", "+experiment=baseline", LOSS]).config
    expected = {"own_parts.losses", "own_parts.numbers", "own_parts.more.deeper", "own_parts"}
    assert {*code_of(config, "classifier")["modules"]} == expected
    assert code_of(config, "generator")["modules"] == {}, "a generator has no such loss"


def test_changed_code_of_ones_own_is_told_where_a_run_is_done(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = tmp_path / "runs"
    baseline(runs, LOSS)
    caplog.clear()
    baseline(runs, LOSS)
    (line,) = caplog.messages
    assert "; changed since" not in line
    (own / "numbers.py").write_text("SCALE = 2\n")
    caplog.clear()
    baseline(runs, LOSS)
    (line,) = caplog.messages
    assert line.startswith("done already: ")
    assert line.endswith("; changed since: own_parts.numbers; rerun=true trains it again")


def test_changed_code_of_the_package_is_told_for_runs_and_their_generators(
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(uninterrupted["generator"].parents[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(sources, "_package_digest", lambda: "another")
    run("classifier", tmp_path)
    (line,) = caplog.messages
    assert "; changed since: chimeramix's code (" in line
    assert line.endswith(" then); rerun=true trains it again")
    caplog.clear()
    shutil.rmtree(folder_of("classifier", tmp_path))
    run("classifier", tmp_path)
    assert caplog.messages[0].startswith("the generator ")
    assert "is used as it is; changed since: chimeramix's code" in caplog.messages[0]
    assert caplog.messages[0].endswith(" rerun=true")


def test_a_finished_run_without_this_record_is_done(
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(uninterrupted["generator"].parents[1], tmp_path, dirs_exist_ok=True)
    path = folder_of("generator", tmp_path) / "result.json"
    result = json.loads(path.read_text())
    del result["stretches"], result["weights_sha256"]
    path.write_text(json.dumps(result))
    monkeypatch.setattr(sources, "_package_digest", lambda: "another")
    run("generator", tmp_path)
    (line,) = caplog.messages
    assert line.startswith("done already: ")
    assert "; changed since" not in line


def test_a_sweep_warns_of_finished_runs_that_other_code_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*overrides("classifier", tmp_path, "baseline"), "hydra/launcher=basic", "seed=0,1"]
    sweep(Tree("classifier"), words)
    assert "changed since" not in caplog.text
    caplog.clear()
    monkeypatch.setattr(sources, "_package_digest", lambda: "another")
    sweep(Tree("classifier"), words)
    (line,) = (message for message in caplog.messages if "changed since" in message)
    assert line.startswith("2 finished runs are taken as before; changed since: chimeramix's code (")


def test_a_finished_run_says_that_its_weights_are_damaged_or_its_precision_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    baseline(tmp_path)
    caplog.clear()
    baseline(tmp_path, "machine.precision=bf16")
    (line,) = caplog.messages
    assert line.endswith("; changed since: machine.precision (fp32 then); rerun=true trains it again")
    weights = folder_of("classifier", tmp_path) / "classifier.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"classifier\.safetensors is damaged .*rerun=true"):
        baseline(tmp_path)
    weights.unlink()  # a run that is finished needs them no more
    baseline(tmp_path)


def test_what_starts_and_reports_runs_is_not_what_computes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change there is no change since a run finished."""
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.relative_to(sources._PACKAGE).parts[0])
        return ""

    monkeypatch.setattr(sources, "_digest", digest)
    sources._package_digest.__wrapped__()
    assert {"training", "data", "runs", "streams.py"} <= set(read)
    assert not {"report", "sweep", "tuning", "cli.py"} & set(read)
