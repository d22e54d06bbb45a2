"""`chimeramix evaluate` on classifiers that were trained for a moment."""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from chimeramix.cli import main
from chimeramix.data.digits import Digits
from tests.runs.tiny import run
from tests.use.conftest import train_on

Output = pytest.CaptureFixture[str]
SHARES = ("accuracy", "top5", "macro_accuracy")
VIEWED = ("average=ema", "evaluation.views=flip_shift", "machine.precision=bf16", "epochs=4")
QUICK = ("dataset.image_size=16", "monitor.evaluate_every=0")  # where bf16 is emulated, it takes minutes otherwise


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of digits."""
    whole = ["dataset.image_size=32"]  # of 16 pixels some logits are equal in the float16 of predictions.npz
    words = {"plain": whole, "viewed": [*VIEWED, *QUICK], "held_out": ["validation.fold=0", "validation.folds=2"]}
    folder = tmp_path_factory.mktemp("runs")
    return {name: run("classifier", folder / name, *more, experiment="baseline") for name, more in words.items()}


@pytest.fixture
def folder(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the plain one."""
    place = tmp_path / "classifier" / "copied"
    return shutil.copytree(runs["plain"], place, ignore=shutil.ignore_patterns("evaluation-*"))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/CLASS/*` and `test/CLASS/*`: 5 and 7 images of odd sizes, of each of three classes."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("test", 7)):
        for level, name in enumerate(("dark", "light", "medium")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 180, (*rng.integers(20, 40, 2), 3)) + (0, 75, 40)[level]
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def of_files(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose images are squashed to 28 pixels and cut to 24."""
    words = ["dataset.resize=squash", "dataset.resize_to=28", "dataset.name=shapes"]
    return train_on(shapes, tmp_path_factory.mktemp("files"), *words)


def evaluated(folder: Path, *words: object, name: str = "digits") -> dict[str, Any]:
    """What the command writes, which is nothing but this file."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert main(["evaluate", str(folder), "--device", "cpu", *map(str, words)]) == 0
    written = folder / f"evaluation-{name}.json"
    after = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {**before, written: after[written]} == after
    record: dict[str, Any] = json.loads(written.read_text())
    return record


def recorded(folder: Path, part: str = "test") -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "result.json").read_text())[part]
    return metrics


def by_hand(folder: Path, chosen: list[int]) -> dict[str, float]:
    """Metrics on some classes' images, from what the run's own evaluation predicted."""
    with np.load(folder / "predictions.npz") as stored:
        kept = np.isin(stored["labels"], chosen)
        logits, labels = stored["logits"][kept].astype(np.float64), stored["labels"][kept]
    right = logits.argmax(1) == labels
    return {
        "accuracy": right.mean(),
        "top5": (np.argsort(-logits)[:, :5] == labels[:, None]).any(1).mean(),
        "macro_accuracy": np.mean([right[labels == label].mean() for label in chosen]),
        "loss": -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean(),
    }


@pytest.mark.parametrize("kind", ["plain", "viewed", "held_out"])
def test_the_record_s_metrics_again(
    kind: str, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """To the last image, whatever the weights, views and precision; a run that validated reads no test part."""
    part, name = ("validation", "digits-validation") if kind == "held_out" else ("test", "digits")
    if kind == "held_out":
        monkeypatch.setattr(Digits, "test", None)
    record = evaluated(runs[kind], name=name)
    expected = recorded(runs[kind], part)
    assert {key: record["metrics"][key] for key in SHARES} == {key: expected[key] for key in SHARES}
    assert record["metrics"]["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert record["recorded"] == {key: expected[key] for key in (*SHARES, "loss")}
    assert record["measured_on"]["part"] == part
    with (runs[kind] / "per_class.csv").open() as file:
        for row in csv.DictReader(file):
            found = record["per_class"][row["class"]]
            assert found["images"] == int(row["images"])
            assert found["accuracy"] == pytest.approx(float(row["accuracy"]))
    shown = capsys.readouterr().out.split()
    assert shown.count(f"{100 * expected['accuracy']:.2f}") >= 2


def test_classes_are_found_by_name(folder: Path, tmp_path: Path, capsys: Output) -> None:
    """In a data set that numbers them otherwise; the run's own figures come out."""
    (tmp_path / "more" / "dataset").mkdir(parents=True)
    for kind in ("Backwards", "OfOnesOwn"):
        (tmp_path / "more" / "dataset" / f"{kind}.yaml").write_text(
            "# @package _global_\ndefaults: [/dataset/demo/digits]\n"
            f"dataset: {{_target_: tests.evaluate.other_digits.{kind}, name: {kind}, image_size: 8}}\n"
        )
        record = evaluated(folder, f"+dataset={kind}", "--config-dir", tmp_path / "more", "--per-class", name=kind)
        assert record["metrics"] == pytest.approx(recorded(folder), rel=1e-6)
        own = evaluated(folder)
        assert record["per_class"] == own["per_class"]
        assert "recorded" not in record
        assert record["measured_on"]["where"] == f"+dataset={kind}"
    assert "precision: share of the images" in capsys.readouterr().out


def test_a_folder_may_lack_classes(folder: Path, tmp_path: Path, capsys: Output) -> None:
    """Files of the digits' own 8 x 8 pixels are read as the digits are; there are none of 7 and 9."""
    part = Digits("digits", 8, [0.5] * 3, [0.5] * 3).test()
    for number, (pixels, label) in enumerate(zip(part.read(range(1000)), part.labels.tolist(), strict=True)):
        if label not in (7, 9):
            (tmp_path / "mine" / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.movedim(0, 2).numpy()).save(tmp_path / "mine" / str(label) / f"{number}.png")
    record = evaluated(folder, "--folder", tmp_path / "mine", name="mine")
    assert record["metrics"] == pytest.approx(by_hand(folder, [0, 1, 2, 3, 4, 5, 6, 8]), rel=1e-3)
    assert record["measured_on"]["classes_without_images"] == ["7", "9"]
    assert (record["per_class"]["7"]["images"], record["per_class"]["7"]["accuracy"]) == (0, None)
    assert "no images of 7, 9: macro accuracy is the mean over the other classes" in capsys.readouterr().out


def test_files_are_read_by_the_rule_of_the_run(of_files: Path, shapes: Path, tmp_path: Path) -> None:
    """Squashed and cut, though the other data set's file says otherwise."""
    other = tmp_path / "some shapes"
    for part in ("train", "test"):
        for name in ("light", "medium"):
            shutil.copytree(shapes / part / name, other / part / name)
    expected = by_hand(of_files, [1, 2])
    words = ["+dataset=own/image_folder", f"dataset.root='{other}'"]
    record = evaluated(of_files, *words, name="some shapes")
    assert record["metrics"] == pytest.approx(expected, rel=1e-3)
    assert record["reading"] == {"size": 24, "resize": "squash", "resize_to": 28}
    assert evaluated(of_files, "--folder", other / "test", name="test")["metrics"] == record["metrics"]
    moved = shutil.copytree(shapes, tmp_path / "moved")
    again = evaluated(of_files, "--images", moved, name="shapes")
    assert again["metrics"]["accuracy"] == recorded(of_files)["accuracy"]
    assert again["measured_on"]["where"] == f"dataset.root={moved}"


def test_csv_has_a_line_for_each_figure(folder: Path, capsys: Output) -> None:
    record = evaluated(folder, "--format", "csv", "--per-class")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    values = {(line["section"], line["images"], line["figure"]): line["value"] for line in lines}
    assert float(values["metrics", "digits", "loss"]) == record["metrics"]["loss"]
    assert float(values["metrics", "by the record", "top5"]) == record["recorded"]["top5"]
    assert int(values["per_class", "3", "images"]) == 102
    assert len(lines) == 2 * 5 + 10 * 3


def test_markdown(folder: Path, capsys: Output) -> None:
    record = evaluated(folder, "--format", "markdown")
    assert f"| digits | 1,000 | {100 * record['metrics']['accuracy']:.2f} |" in capsys.readouterr().out


def test_an_earlier_evaluation_is_named(folder: Path, capsys: Output) -> None:
    evaluated(folder)
    assert capsys.readouterr().err == f"written: {folder / 'evaluation-digits.json'}\n"
    evaluated(folder)
    assert capsys.readouterr().err == f"written: {folder / 'evaluation-digits.json'} in place of an earlier one\n"


def lines_of(text: str) -> list[str]:
    """Without figures and the widths that they take."""
    rows = [" ".join(re.sub(r"\d[\d.,]*", "#", line).replace("─", "").split()) for line in text.splitlines()]
    return [row for row in rows if row]


def test_the_documented_output_is_what_is_printed(folder: Path, capsys: Output) -> None:
    page = Path("docs/use.md").read_text(encoding="utf-8").split("\n## evaluate\n")[1].split("\n## ")[0]
    block = re.findall(r"\n\n```\n(.*?)```", page, flags=re.DOTALL)[0]
    evaluated(folder)
    assert lines_of(block) == lines_of(capsys.readouterr().out)


def told(folder: Path, capsys: Output, *words: object) -> str:
    """The one line of a command that is refused and leaves no trace."""
    before = sorted(folder.iterdir()) if folder.exists() else []
    capsys.readouterr()
    assert main(["evaluate", str(folder), *map(str, words)]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert (sorted(folder.iterdir()) if folder.exists() else []) == before
    return said.err


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--count", "5"], "--count: is for the run of a generator, and"),
        (["--no-fidelity"], "--no-fidelity: is for the run of a generator, and"),
        (["--reference", "else"], "--reference: is for the run of a generator, and"),
        (["+dataset=demo/digits", "seed=1"], "seed=1: has no effect on an evaluation, which takes +dataset=NAME"),
        (["+dataset=demo/digits", "dataset.mean=[0,0,0]"], "has no effect: images are read as the run reads its own"),
        (["machine.data_dir=x"], "machine.data_dir=x: choose a data set as well, with +dataset=NAME"),
        (["dataset=demo/digits"], "dataset=demo/digits: write +dataset=demo/digits, with a plus"),
        (["+dataset=demo/digit"], "did you mean demo/digits?"),
        (["+dataset=own/image_folder"], "dataset.root is not set"),
        (["--folder", "absent"], "--folder absent: no such folder"),
        (["--folder", ".", "+dataset=demo/digits"], "--folder . and a data set: choose one of them"),
        (["--images", "x", "+dataset=demo/digits"], "--images x: says where the run's own data set is"),
        (["--config-dir", "x"], "--config-dir x: has no effect without +dataset=NAME"),
        (["--without-duplicates"], "--without-duplicates: is for +dataset=corrupted/cifar10 and"),
        (["--without-duplicates", "+dataset=demo/digits"], "--without-duplicates: is for +dataset=corrupted/cifar10"),
        (["--per-class", "+dataset=corrupted/cifar10"], "--per-class: is not for corrupted images"),
        (["--device", "cuda:99"], "machine.device=cuda:99: this machine has"),
    ],
)
def test_bad_input_is_one_line(words: list[str], fault: str, folder: Path, capsys: Output) -> None:
    assert fault in told(folder, capsys, *words)


def test_unknown_classes_are_named(folder: Path, shapes: Path, capsys: Output) -> None:
    line = told(folder, capsys, "--folder", shapes / "test")
    assert "test has classes that the run does not know: dark, light, medium; it knows 0, 1, 2" in line


def test_a_folder_of_parts_is_not_one_of_classes(folder: Path, shapes: Path, tmp_path: Path, capsys: Output) -> None:
    line = told(folder, capsys, "--folder", shapes)
    assert f"--folder {shapes}: holds folders of folders, no classes; name one, such as {shapes}/test" in line
    shutil.copytree(shapes / "train", tmp_path / "train")
    assert f"name one, such as {tmp_path}/train" in told(folder, capsys, "--folder", tmp_path)


def test_folders_that_hold_no_finished_run(tmp_path: Path, capsys: Output) -> None:
    line = told(tmp_path / "absent", capsys, "+dataset=demo/digits")
    assert "absent is not the folder of a finished run: it has no result.json" in line


def test_own_images_that_are_others_by_now(of_files: Path, shapes: Path, tmp_path: Path, capsys: Output) -> None:
    """A test image was added."""
    other = shutil.copytree(shapes, tmp_path / "shapes")
    shutil.copy(other / "test" / "dark" / "0.png", other / "test" / "dark" / "99.png")
    line = told(of_files, capsys, "--images", other)
    assert f"dataset.root={other} has other test images than the run was evaluated on (21 by " in line


def test_a_run_without_a_method_is_called_by_its_model(of_files: Path, capsys: Output) -> None:
    assert json.loads((of_files / "result.json").read_text())["method"] == "none"
    evaluated(of_files, name="shapes")
    assert capsys.readouterr().out.startswith(
        "wideresnet_10_2 (width=1), trained on shapes, evaluated on shapes, test part\n"
    )


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "n" * 250, "two\nlines"])
def test_a_folder_of_any_name(name: str, of_files: Path, shapes: Path, tmp_path: Path) -> None:
    """The file's name has of it what fits."""
    place = shutil.copytree(shapes / "test", tmp_path / name)
    shown = {"n": "n" * 100, "t": "twolines"}.get(name[0], "caf")
    record = evaluated(of_files, "--folder", str(place), name=shown)
    assert record["measured_on"]["where"] == str(place)
