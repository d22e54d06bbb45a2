"""`chimeramix evaluate RUN +dataset=corrupted/cifar10`, on small archives in the published format."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import chimeramix
from chimeramix.cli import main
from chimeramix.data import CIFAR10C
from chimeramix.data.corrupted import _TEN
from tests.data.fake_archives import corrupt, publish_corrupted
from tests.use.conftest import train_on

Output = pytest.CaptureFixture[str]

rng = np.random.default_rng(3)
LEVELS = np.linspace(20, 230, 10)
"""Mean pixel values by class, so that a short training learns something."""
CORRUPTED = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"],
    "weather": ["snow", "frost", "fog", "brightness"],
    "digital": ["contrast", "elastic_transform", "pixelate", "jpeg_compression"],
}
USUAL = [name for names in CORRUPTED.values() for name in names]
OTHERS = ["speckle_noise", "gaussian_blur", "spatter", "saturate"]


def pixels_of(labels: np.ndarray) -> np.ndarray:
    """`[M, 3, 32, 32]` uint8."""
    return (LEVELS[labels][:, None, None, None] + rng.normal(0, 8, (len(labels), 3, 32, 32))).clip(0, 255).astype("u1")


LABELS = rng.integers(0, 10, 24)
PIXELS = pixels_of(LABELS)
REPLACED = [2, 3, 17]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run on CIFAR's classes, whose images are squashed to 28 pixels and cut to 24."""
    root = tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        for label, name in enumerate(_TEN):
            (root / part / name).mkdir(parents=True)
            for number, pixels in enumerate(pixels_of(np.full(5, label))):
                Image.fromarray(pixels.transpose(1, 2, 0)).save(root / part / name / f"{number}.png")
    reading = ["dataset.resize=squash", "dataset.resize_to=28", "epochs=4", "augment=flip_crop"]
    return train_on(root, tmp_path_factory.mktemp("runs"), *reading)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's, with the small archives in place of the published ones."""
    for name, value in publish_corrupted(CIFAR10C, tmp_path, PIXELS, LABELS.tolist(), REPLACED).items():
        monkeypatch.setattr(CIFAR10C, name, value)
    return ["+dataset=corrupted/cifar10", f"machine.data_dir={tmp_path / 'data'}", f"machine.mirror={tmp_path}"]


def evaluated(folder: Path, *words: str) -> dict[str, Any]:
    assert main(["evaluate", str(folder), "--device", "cpu", *words]) == 0
    record: dict[str, Any] = json.loads((folder / "evaluation-cifar10_c.json").read_text())
    return record


def right(folder: Path, corruption: str, severity: int) -> np.ndarray:
    """`[M]`: whether the run is right, by PIL and a plain call of its network."""
    network = chimeramix.load_classifier(folder).network
    images = []
    for pixels in corrupt(PIXELS, corruption, severity):
        image = Image.fromarray(pixels.transpose(1, 2, 0)).resize((28, 28), Image.Resampling.BILINEAR)
        images.append(np.asarray(image.crop((2, 2, 26, 26)), dtype=np.float32) / 255)
    batch = torch.from_numpy(np.stack(images)).movedim(3, 1)
    found: np.ndarray = network((batch - 0.5) / 0.5).argmax(1).numpy() == LABELS
    return found


def test_the_mean_is_over_fifteen_corruptions_and_five_severities(
    folder: Path, words: list[str], capsys: Output
) -> None:
    record = evaluated(folder, *words)
    shares = {name: [right(folder, name, severity).mean() for severity in range(1, 6)] for name in [*USUAL, *OTHERS]}
    usual = [shares[name] for name in USUAL]
    assert len(usual) == 15
    assert 0.1 < np.mean(usual) < 0.9, "figures that could tell nothing"
    assert len({tuple(row) for row in usual}) > 5
    assert record["mean"]["15 corruptions"]["accuracy"] == pytest.approx(np.mean(usual))
    assert record["mean"]["15 corruptions"]["error"] == pytest.approx(1 - np.mean(usual))
    assert record["mean"]["15 corruptions"]["images"] == 15 * 5 * 24
    for group, names in CORRUPTED.items():
        assert record["mean"][group]["accuracy"] == pytest.approx(np.mean([shares[name] for name in names]))
    for section, names in (("corruptions", USUAL), ("extra_corruptions", OTHERS)):
        found = {name: figures["accuracy"] for name, figures in record[section].items()}
        expected = {f"{name} {s}": share for name in names for s, share in enumerate(shares[name], start=1)}
        assert found == pytest.approx(expected)
    printed = capsys.readouterr().out
    usual_table, others = printed.split("Four more corruptions, not in the mean")
    for name, row in shares.items():
        table = others if name in OTHERS else usual_table
        line = re.search(rf"{name} +(.*)", table)
        assert line is not None
        assert line[1].split() == [f"{100 * share:.2f}" for share in [*row, np.mean(row)]]
    (line,) = re.findall(r"mean of 15 +(.*)", usual_table)
    assert line.split() == [f"{100 * share:.2f}" for share in [*np.mean(usual, axis=0), np.mean(usual)]]
    page = Path("docs/use.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(cifar10_c:.*?)```", page, flags=re.DOTALL)
    printed_lines = [line.split() for line in printed.splitlines()]
    assert all(line.split() in printed_lines for line in block.splitlines() if line)
    assert "3.25 % of them have a near-duplicate among the training images" in printed
    assert "--without-duplicates leaves them out" in printed


def test_images_that_cifair_replaced_can_be_left_out(folder: Path, words: list[str], capsys: Output) -> None:
    record = evaluated(folder, *words, "--without-duplicates")
    kept = [place for place in range(24) if place not in REPLACED]
    for corruption, severity in (("fog", 1), ("jpeg_compression", 5)):
        found = record["corruptions"][f"{corruption} {severity}"]
        assert found["images"] == 21
        assert found["accuracy"] == pytest.approx(right(folder, corruption, severity)[kept].mean())
    assert record["measured_on"]["left_out"] == 3
    assert "3 of 24 test images are left out: near-duplicates of training images" in capsys.readouterr().out


def test_csv_and_markdown(folder: Path, words: list[str], capsys: Output) -> None:
    record = evaluated(folder, *words, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    values = {(line["section"], line["images"], line["figure"]): line["value"] for line in lines}
    assert len(values) == len(lines) == 5 * 6 + 95 * 5
    assert float(values["mean", "15 corruptions", "error"]) == record["mean"]["15 corruptions"]["error"]
    assert float(values["extra_corruptions", "spatter 4", "loss"]) == record["extra_corruptions"]["spatter 4"]["loss"]
    evaluated(folder, *words, "--format", "markdown")
    assert re.search(r"\| noise \| shot_noise \|( \d+\.\d\d \|){6}\n", capsys.readouterr().out)


def test_one_severity_is_in_memory_at_a_time(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from chimeramix.data.corrupted import CorruptedImages

    asked = []
    native = CorruptedImages._native
    monkeypatch.setattr(CorruptedImages, "_native", lambda self, at: asked.append(len(at)) or native(self, at))
    evaluated(folder, *words)
    assert asked == [24] * 95


def refused(folder: Path, words: list[str], capsys: Output) -> str:
    before = sorted(path for path in folder.iterdir() if path.name != "evaluation-cifar10_c.json")
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--device", "cpu", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(path for path in folder.iterdir() if path.name != "evaluation-cifar10_c.json") == before
    (line,) = (line for line in said.err.splitlines() if line.startswith("error: "))
    return line


def test_a_run_of_other_classes_is_refused(
    folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(CIFAR10C, "classes", ("aeroplane", *_TEN[1:]))
    line = refused(folder, words, capsys)
    assert "cifar10_c has classes that the run does not know: aeroplane; it knows airplane, automobile" in line


def test_a_damaged_file_is_named(folder: Path, words: list[str], tmp_path: Path, capsys: Output) -> None:
    assert main(["prepare", "corrupted/cifar10", *words[1:]]) == 0
    np.save(tmp_path / "data" / "CIFAR-10-C" / "snow.npy", np.zeros((7, 32, 32, 3), np.uint8))
    line = refused(folder, words, capsys)
    assert "snow.npy is not the published file (uint8 [7, 32, 32, 3]): remove it" in line
