"""docs/your_own.md works from its first line to its last: the files that it shows are written, its commands are run."""

import csv
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest

from chimeramix.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "your_own.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
# As the page has them, only shorter.
COMMON = ["machine.device=cpu", "machine.workers=1"]
CLASSIFIER = ["epochs=1", "batch_size=8", "epoch_labels_per_class=8", "monitor.evaluate_every=0"]
WIDTH = ["model.width=1"]
GENERATOR = [
    "generator.image_size=32",
    "generator.features=4",
    "generator.discriminator.features=4",
    "generator.epochs=1",
    "generator.batch_size=8",
    "generator.epoch_labels_per_class=8",
]


@pytest.fixture
def room(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the photos that the page takes for granted."""
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(photos / "test" / "spots", tmp_path / "new")
    (tmp_path / "table").mkdir()
    with (tmp_path / "table" / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "class", "part"])
        for path in sorted(photos.rglob("*.*g")):
            part, kind, name = path.relative_to(photos).parts
            shutil.copy(path, tmp_path / "table" / f"{part}_{kind}_{name}")
            table.writerow([f"{part}_{kind}_{name}", kind, part])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # what the commands put in front
    yield tmp_path
    for name in ("own_parts", "photo_table"):  # other tests have modules of these names, too
        sys.modules.pop(name, None)


def shortened(words: list[str]) -> list[str]:
    """A command's words, with a training cut to a second."""
    if not words[0].startswith("train-"):
        return words
    options = [word for word in words if word.startswith("--")]
    own = GENERATOR if "+experiment=chimeramix_grid" in words else []
    if words[0] == "train-classifier":
        own = [*own, *CLASSIFIER, *([] if "model=small_resnet" in words else WIDTH)]
    # In this process: a pool's processes take seconds to start.
    settings = [word.replace("launcher=local", "launcher=basic") for word in words if word not in options]
    settings = [word.replace("fold=0,1,2,3,4", "fold=0,1") for word in settings]
    return [*settings, *COMMON, *own, *options]


@pytest.mark.slow
def test_the_page_works(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm")
    commands = []
    for language, block in BLOCKS:
        if language in ("yaml", "python"):
            path = room / re.findall(r"^# (parts/\S+)$", block, flags=re.MULTILINE)[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
        for line in block.splitlines() if language == "bash" else []:
            program, *words = shlex.split(line)
            assert program == "chimeramix"
            matched = [found for word in words for found in (glob(word) if "*" in word else [word])]
            assert main(shortened(matched)) == 0, line
            commands.append(words[0])
    assert commands.count("train-classifier") == 5
    results = list((room / "runs" / "classifier").glob("*/result.json"))
    assert len(results) == 4 + 4
    shown = capsys.readouterr().out
    assert "57 images" in shown  # those of new

    # Later, from anywhere, a run with parts of one's own is still of use.
    (run,) = (room / "runs" / "classifier").glob("photo_table-*")
    assert main(["predict", str(run), str(room / "new"), "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 58
