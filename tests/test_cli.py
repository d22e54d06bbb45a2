"""The `chimeramix` command: exit status and one-line errors."""

import os
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from chimeramix.cli import main
from chimeramix.files import made_beside


def test_prepare_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "demo/digits"]) == 0
    assert "10 classes, 797 training and 1000 test images" in capsys.readouterr().out


def test_prepare_checks_an_image_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / part / name / "0.png")
    assert main(["prepare", "own/image_folder", f"dataset.root={tmp_path}"]) == 0
    assert "2 classes, 2 training and 2 test images" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--config-dir", "{}"], ["--config-dir={}"], ["-cd", "{}"]])
@pytest.mark.parametrize("behind", [True, False])
def test_prepare_knows_data_sets_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], behind: bool
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text("# @package _global_\ndefaults: [/dataset/demo/digits]\n")
    options, overrides = [word.format(tmp_path) for word in options], ["machine.workers=1"]
    assert main(["prepare", "mine", *(overrides + options if behind else options + overrides)]) == 0
    assert "mine is ready: 10 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prepare", "demo/digit"], "demo/digits"),
        (["prepare", "own/image_folder"], "dataset.root"),
        (["prepare", "own/image_folder", "dataset.root=absent"], "absent"),
        (["prepare", "demo/digits", "dataset.imagesize=3"], "image_size"),
        (["report", "absent"], "absent: no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert expected in captured.err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"chimeramix {version('chimeramix')}\n"


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2


def test_status_looks_at_the_usual_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert capsys.readouterr().err == "error: runs: no such folder; name the machine.runs_dir of your runs\n"
    (tmp_path / "runs" / "classifier" / "digits-n2-baseline-s0-0123456789ab").mkdir(parents=True)
    assert main(["status"]) == 0
    assert "baseline" in capsys.readouterr().out


def test_a_failed_download_is_a_failure_and_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"machine.data_dir={tmp_path}/data", "machine.mirror='http://127.0.0.1:9'"]  # nobody listens there
    assert main(["prepare", "cifair10", *words]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "can't be fetched" in line
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when `kill` meets `chimeramix export`, which makes its folder beside the place where it will stand."""

    def work(options: object) -> None:
        with made_beside(tmp_path / "exported") as folder:
            folder.mkdir()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("chimeramix.cli._do", work)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        main(["report", str(tmp_path)])
    assert stop.value.code == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before
