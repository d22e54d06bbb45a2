"""`chimeramix train-generator` and `train-classifier` do what the scripts do."""

import json
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chimeramix
from chimeramix.cli import main
from tests.runs.tiny import folder_of, overrides

ROOT = Path(chimeramix.__file__).parents[1]
Said = tuple[object, str, str]


class Both:
    """Exit status and output of a role's script and of its command, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def script(self, role: str, *words: str) -> Said:
        path = ROOT / f"train_{role}.py"
        self._monkeypatch.setattr(sys, "argv", [str(path), *words])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(path), run_name="__main__")
        return stop.value.code, *self._capsys.readouterr()

    def command(self, role: str, *words: str) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["chimeramix", f"train-{role}", *words])
        try:
            status = main()
        except SystemExit as stop:  # Hydra's way to end --help
            status = stop.code
        assert sys.argv == ["chimeramix", f"train-{role}", *words], "as it was before"
        return status, *self._capsys.readouterr()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Both:
    monkeypatch.chdir(ROOT)
    return Both(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("line", "status", "part"),
    [
        ("classifier --help", 0, "== Examples =="),
        ("generator +dataset=demo/digits +experiment=chimeramix_grid seed=3 --cfg job --resolve", 0, "seed: 3"),
        ("generator +dataset=demo/digits --cfg hydra --package hydra.job.name", 0, "train_generator"),
        ("generator +dataset=demo/digits +experiment=chimeramix_grid seed=0,1 --cfg job -m", 0, "2 runs: 2 missing"),
        ("classifier", 2, "error: "),
        ("classifier +dataset=demo/digit", 2, "did you mean demo/digits?"),
        ("classifier +dataset=demo/digits seed", 2, "error: seed: not of the form KEY=VALUE"),
        ("classifier --nonsense", 2, "error: "),
        ("classifier +dataset=demo/digits --config-dir=/absent", 2, "/absent: no such folder"),
        ("generator +dataset=demo/digits seed=0,1", 2, "add --multirun"),
    ],
)
def test_they_say_the_same(both: Both, line: str, status: int, part: str) -> None:
    role, *words = shlex.split(line)
    said = both.command(role, *words)
    assert said == both.script(role, *words)
    assert said[0] == status
    assert part in said[1] + said[2]


def test_they_have_the_same_search_path() -> None:
    """In processes: Hydra prints it as a log."""
    script, command = (
        subprocess.run([sys.executable, *words, "--info", "searchpath"], cwd=ROOT, capture_output=True, text=True)
        for words in (["train_generator.py"], ["-m", "chimeramix", "train-generator"])
    )
    assert (command.returncode, command.stdout) == (0, script.stdout)
    assert str(ROOT / "conf") in command.stdout


def test_a_run_by_one_name_is_done_for_the_other(both: Both, tmp_path: Path) -> None:
    words = overrides("classifier", tmp_path, "baseline")
    assert both.command("classifier", *words)[0] == 0
    environment = json.loads((folder_of("classifier", tmp_path) / "environment.json").read_text())
    assert environment["command"] == shlex.join(["python", "train_classifier.py", *words])
    assert "done already" in both.script("classifier", *words)[2]


def test_a_sweep_that_fails_in_part_ends_with_1(both: Both, tmp_path: Path) -> None:
    words = [*overrides("classifier", tmp_path, "baseline"), "hydra/launcher=basic", "seed=0,1", "--multirun"]
    failing = tmp_path / "classifier"
    failing.write_text("not a folder")
    status, _, errors = both.command("classifier", *words)
    assert (status, status) == (both.script("classifier", *words)[0], 1), errors


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert "train-generator" in printed
    assert "train-classifier" in printed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chimeramix train-classifier +dataset=c", "+dataset=cifair10 +dataset=cifair100"),
        (".venv/bin/chimeramix  train-generator machine.thr", "machine.threads="),
        ("chimeramix train-classifier", ""),  # not ended by a space
        ("chimeramix status ru", ""),
    ],
)
def test_a_shell_completes_their_words(
    line: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.strip() == expected


def test_completion_is_installed_under_the_programs_name(
    both: Both, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `--hydra-help` tells."""
    assert 'eval "$(chimeramix -sc install=bash)"' in both.command("classifier", "--hydra-help")[1]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/chimeramix", "-sc", "install=bash"])
    assert main() == 0
    assert capsys.readouterr().out.strip().endswith("-F hydra_bash_completion chimeramix")


def test_status_takes_a_command_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (["train-classifier"], ["chimeramix", "train-classifier"], ["python", "train_classifier.py"]):
        assert main(["status", *name, "+dataset=demo/digits", "seed=0,1"]) == 0
        assert "classifiers: 2 missing" in capsys.readouterr().out


def test_an_interrupted_command_ends_with_the_signals_number(tmp_path: Path) -> None:
    words = [*overrides("classifier", tmp_path, "baseline", "epochs=1000"), "monitor.evaluate_every=0"]
    process = subprocess.Popen([sys.executable, "-m", "chimeramix", "train-classifier", *words], cwd=ROOT)
    try:
        limit = time.monotonic() + 60
        while not list(tmp_path.glob("classifier/*/metrics.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        process.kill()
