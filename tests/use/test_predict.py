"""`chimeramix predict`."""

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
from scipy.special import softmax

from chimeramix.cli import main
from chimeramix.use.images import find_images
from tests.runs.tiny import run
from tests.use.conftest import train_on

Output = pytest.CaptureFixture[str]


def predicted(capsys: Output, *words: object) -> list[dict[str, str]]:
    """The rows of a command's CSV."""
    assert main(["predict", "--device", "cpu", "--format", "csv", *map(str, words)]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def recorded(folder: Path) -> np.ndarray:
    """Probabilities of the test images, from what the run's own evaluation wrote."""
    with np.load(folder / "predictions.npz") as stored:
        return softmax(stored["logits"].astype(np.float64), axis=1)


@pytest.mark.parametrize("kind", ["plain", "viewed"])
def test_the_test_images_get_what_the_run_gave_them(
    kind: str, photos: Path, request: pytest.FixtureRequest, capsys: Output
) -> None:
    """To the last image, whatever the reading, the precision, the weights and the views."""
    folder = request.getfixturevalue(kind)
    rows = predicted(capsys, "--top", 2, folder, photos / "test")
    expected = recorded(folder)
    classes = ["spots", "stripes"]
    assert [row["file"] for row in rows] == sorted(map(str, (photos / "test").rglob("*.*g")))
    assert [row["class"] for row in rows] == [classes[label] for label in expected.argmax(1)]
    # float16 holds about three digits of a logit.
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected.max(1), atol=2e-3)
    np.testing.assert_allclose([float(row["probability_2"]) for row in rows], expected.min(1), atol=2e-3)
    accuracy = np.mean([Path(row["file"]).parent.name == row["class"] for row in rows])
    assert accuracy == json.loads((folder / "result.json").read_text())["test"]["accuracy"]


def test_images_of_a_data_set_in_memory(tmp_path: Path, capsys: Output) -> None:
    """Digits as files of their own 8 x 8 pixels."""
    folder = run("classifier", tmp_path, experiment="baseline")
    with np.load(Path("chimeramix/data/digits.npz")) as stored:
        grey = np.rint(stored["images"][797:] * (255 / 16)).astype(np.uint8)
    (tmp_path / "digits").mkdir()
    for number, pixels in enumerate(grey):
        Image.fromarray(pixels).save(tmp_path / "digits" / f"{number:04}.png")
    rows = predicted(capsys, folder, tmp_path / "digits")
    assert [row["class"] for row in rows] == [str(label) for label in recorded(folder).argmax(1)]


def test_several_runs_are_an_ensemble(plain: Path, viewed: Path, photos: Path, capsys: Output) -> None:
    """The mean of their probabilities, though each reads images in its own way."""
    rows = predicted(capsys, plain, viewed, photos / "test")
    mean = (recorded(plain) + recorded(viewed)) / 2
    np.testing.assert_allclose([float(row["probability"]) for row in rows], mean.max(1), atol=2e-3)


def test_files_folders_and_patterns_once_each(plain: Path, photos: Path, capsys: Output) -> None:
    spots = photos / "test" / "spots"
    rows = predicted(capsys, plain, spots / "03.jpg", f"{spots}/0[0-4].*", spots)
    assert [Path(row["file"]).name for row in rows[:5]] == ["03.jpg", "00.png", "01.jpg", "02.png", "04.png"]
    assert len(rows) == 57


def test_photos_beside_another_programs_configuration_are_no_run(
    plain: Path, photos: Path, tmp_path: Path, capsys: Output
) -> None:
    shutil.copy(photos / "test" / "spots" / "00.png", tmp_path)
    (tmp_path / "config.json").write_text('{"camera": "left"}')
    assert len(predicted(capsys, plain, tmp_path)) == 1


def test_damaged_files_are_named_and_left_out(plain: Path, photos: Path, tmp_path: Path, capsys: Output) -> None:
    good = photos / "test" / "spots" / "00.png"
    (tmp_path / "cut.jpg").write_bytes((photos / "test" / "spots" / "01.jpg").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no image")
    shutil.copy(good, tmp_path / "zebra.png")
    out = tmp_path / "classes.jsonl"
    words = ["predict", str(plain), str(tmp_path), "--device", "cpu", "--format", "jsonl", "--out", str(out)]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f"left out: {tmp_path / 'cut.jpg'} can't be read" in said
    assert f"left out: {tmp_path / 'text.png'} can't be read" in said
    assert said.splitlines()[-1] == "error: 2 of 3 images could not be read, and are left out"
    (line,) = out.read_text().splitlines()
    found = json.loads(line)
    assert found["file"] == str(tmp_path / "zebra.png")
    assert found["top"] == [{"class": found["class"], "probability": found["probability"]}]


def test_links_are_followed(photos: Path, tmp_path: Path) -> None:
    """To files and folders, each folder once; one to nothing is found, and so named later."""
    (tmp_path / "mine").mkdir()
    links = {"all": photos / "test" / "spots", "00.PNG": photos / "test" / "spots" / "00.png", "gone.png": "nowhere"}
    for name, target in {**links, "here": tmp_path / "mine", "zz": photos / "test" / "spots"}.items():
        (tmp_path / "mine" / name).symlink_to(target)
    os.mkfifo(tmp_path / "mine" / "pipe.png")
    found = [path.relative_to(tmp_path / "mine").parts for path in find_images([str(tmp_path / "mine")])]
    assert found[0] == ("00.PNG",)
    assert {parts[0] for parts in found[1:-1]} == {"all"}
    assert found[-1] == ("gone.png",)
    assert len(found) == 1 + 57 + 1


def test_a_folder_that_cannot_be_listed(
    plain: Path, photos: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images are not left out in silence."""
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "stripes":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert main(["predict", str(plain), str(photos / "test")]) == 2
    folder = photos / "test" / "stripes"
    assert capsys.readouterr().err == f"error: {folder} can't be listed (Permission denied): correct its permissions\n"


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("form", ["csv", "jsonl", "terminal"])
def test_names_that_are_no_utf8(
    form: str, to_file: bool, plain: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV has their bytes, JSON an escape that Python's `json` gives back; no half-written file stays."""
    image = tmp_path / "images" / os.fsdecode(b"caf\xe9.png")
    image.parent.mkdir()
    shutil.copy(photos / "test" / "spots" / "00.png", image)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "classes"
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")  # as in en_GB.UTF-8
    monkeypatch.setattr("sys.stdout", terminal)
    words = ["--out", str(out)] if to_file else []
    assert main(["predict", str(plain), str(image.parent), "--device", "cpu", "--format", form, *words]) == 0
    terminal.flush()
    content = out.read_bytes() if to_file else terminal.buffer.getvalue()  # type: ignore[attr-defined]
    if form == "jsonl":
        assert json.loads(content.decode("utf-8"))["file"] == str(image)
    else:
        assert b"caf\xe9.png" in content
    assert list(out.parent.iterdir()) == ([out] if to_file else [])


def test_the_terminal_shows_a_table(plain: Path, photos: Path, capsys: Output) -> None:
    assert main(["predict", str(plain), str(photos / "test" / "spots" / "00.png"), "--top", "9"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 image\n")
    assert {"spots", "stripes"} <= set(shown.split())
    assert sum(float(share) for share in re.findall(r"\d+\.\d", shown)) == pytest.approx(100, abs=0.11)  # rounded


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["RUN"], "no images are named: chimeramix predict RUN PATH ..."),
        (["PHOTOS", "PHOTOS"], "is not the folder of a finished run: it has no result.json"),
        (["PHOTOS"], "name the folder of a finished classifier first, then images"),
        (["RUN", "nowhere"], "nowhere: no such file or folder"),
        (["RUN", "PHOTOS/*.tiff"], "no images there (bmp gif"),
        (["RUN", "PHOTOS", "RUN"], "is a run: name all runs before the images"),
        (["RUN", "PHOTOS", "--top", "0"], "--top 0: must be at least 1"),
        (["RUN", "PHOTOS", "--out", "no/where.csv"], "--out no/where.csv: there is no folder no"),
        (["RUN", "PHOTOS", "--out", "PHOTOS"], ": is a folder; name a file"),
        (["RUN", "PHOTOS", "--device", "cuda:99"], "machine.device=cuda:99: this machine has"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], fault: str, plain: Path, photos: Path, tmp_path: Path, capsys: Output
) -> None:
    found = [word.replace("RUN", str(plain)).replace("PHOTOS", str(photos)) for word in words]
    assert main(["predict", *found]) == 2
    said = capsys.readouterr()
    assert fault in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_runs_of_other_classes_are_no_ensemble(plain: Path, photos: Path, tmp_path: Path, capsys: Output) -> None:
    other = shutil.copytree(photos, tmp_path / "photos")
    for part in ("train", "test"):
        (other / part / "spots").rename(other / part / "dots")
    folder = train_on(other, tmp_path / "runs")
    assert main(["predict", str(plain), str(folder), str(photos)]) == 2
    assert "have different classes, or another order of them: no ensemble" in capsys.readouterr().err
