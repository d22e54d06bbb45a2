"""docs/use.md: its Python examples run, and its lines of output are what the programs print."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import chimeramix
from chimeramix.cli import main
from tests.runs.generators import Generators

PAGE = (Path(__file__).parents[2] / "docs" / "use.md").read_text(encoding="utf-8")


def blocks(title: str, language: str = "python") -> list[str]:
    """Those of a section."""
    section = PAGE[PAGE.index(f"\n## {title}\n") :].split("\n## ")[1]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def block(title: str, language: str = "python") -> str:
    """The first block of a section."""
    return blocks(title, language)[0]


def test_predict(plain: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(plain), str(photos / "test" / "spots" / "01.jpg"), "--top", "2", "--format"]
    assert main([*words, "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] + "\n" == block("predict", "text")
    assert main([*words, "jsonl"]) == 0
    found, shown = json.loads(capsys.readouterr().out), json.loads(block("predict", "json"))
    assert list(found) == list(shown)
    assert [list(each) for each in found["top"]] == [list(each) for each in shown["top"]]


def test_in_python(plain: Path, photos: Path) -> None:
    paths = sorted((photos / "test" / "spots").iterdir())[:3]
    names: dict[str, Any] = {"paths": paths}
    exec(block("In Python").replace('"runs/classifier/RUN"', repr(str(plain))), names)
    assert names["probabilities"].sum(1).tolist() == pytest.approx([1] * 3)
    assert set(names["names"]) <= set(chimeramix.load_classifier(plain).classes)


def test_synthesise(
    generators: Generators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is drawn does not depend on the weights, so the page's line is one of any generator of these digits."""
    monkeypatch.chdir(tmp_path)
    command = block("synthesise", "bash").replace("runs/generator/RUN", str(generators["grid"]))
    assert main([*shlex.split(command)[1:], "--device", "cpu"]) == 0
    assert capsys.readouterr().out == block("synthesise", "text")
    shown = json.loads(block("synthesise", "json"))
    lines = map(json.loads, (tmp_path / "composed" / "train.jsonl").read_text().splitlines())
    (found,) = (line for line in lines if line["file"] == shown["file"])
    assert found | {"generator": ""} == shown | {"generator": ""}
    keys = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", PAGE, flags=re.MULTILINE))))
    assert found.keys() <= keys, "each key is in the table"


def test_a_generator_in_python(generators: Generators) -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randint(256, (2, 4, 3, 32, 32), generator=draw, dtype=torch.uint8)
    names: dict[str, Any] = {"first": first, "second": second}
    exec(block("A generator in Python").replace('"runs/generator/RUN"', repr(str(generators["grid"]))), names)
    for name in ("composed", "halves", "again"):
        assert (names[name].shape, names[name].dtype) == ((4, 3, 32, 32), torch.uint8)
    assert not torch.equal(names["halves"], names["again"])


def test_exported_programs_need_no_chimeramix(
    plain: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both examples, one after the other, name the class that `predict` names."""
    pytest.importorskip("onnxruntime")
    for form in ("pt2", "onnx"):
        assert main(["export", str(plain), "--format", form, "--out", str(tmp_path / f"classifier.{form}")]) == 0
    shutil.copy(photos / "test" / "spots" / "01.jpg", tmp_path / "photo.jpg")
    assert main(["predict", str(plain), str(tmp_path / "photo.jpg"), "--format", "csv"]) == 0
    expected = capsys.readouterr().out.splitlines()[1].split(",")[1]
    program = "\n".join([*blocks("export"), "import sys", "print('chimeramix' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [expected, expected, "False"], done.stderr


def test_what_an_export_says(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(plain), "--format", "hub", "--out", str(tmp_path / "hub")]) == 0
    assert capsys.readouterr().err == block("export", "text").replace("runs/classifier/RUN", str(tmp_path))
