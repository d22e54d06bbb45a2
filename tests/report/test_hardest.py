"""`chimeramix report --hardest FILE.png`."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from chimeramix.data import Digits
from chimeramix.report.hardest import hardest
from chimeramix.report.predicted import Reader
from chimeramix.report.store import read_store
from tests.report.predicted import add_predicted, answers, write_predictions
from tests.report.store import add_run
from tests.report.test_report import Output, main, report

DIGITS = {
    "_target_": "chimeramix.data.Digits",
    "name": "digits",
    "image_size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
DIGITS_SOURCE = Digits("digits", 32, [0.5] * 3, [0.5] * 3)
LABELS = DIGITS_SOURCE.test().labels.numpy()


def add_digits_run(runs: Path, seed: int, wrong: dict[int, int], name: str = "digits", **dataset: object) -> Path:
    """A run that is wrong at these positions, with these answers."""
    folder = add_run(runs, "Baseline", seed, dataset=name)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "dataset": {**DIGITS, **dataset}}))
    guess = LABELS.copy()
    for position, answer in wrong.items():
        guess[position] = answer
    write_predictions(folder, answers(*guess, of=10), LABELS)
    return folder


def test_which_images_are_hardest(tmp_path: Path) -> None:
    """By the share of runs that are wrong, then by the probability of the label; by hand."""
    labels = [0, 1, 2, 1]
    for seed, (logits, sure) in enumerate([((1, 1, 2, 0), 4.0), ((2, 1, 2, 2), 6.0), ((2, 0, 2, 0), 4.0)]):
        add_predicted(tmp_path, "Baseline", seed, answers(*logits, sure=sure), labels, split_seed=seed)
    found = hardest(read_store(tmp_path).runs, Reader("--hardest", {}))
    assert [(image.position, image.label, image.wrong, image.runs, image.answer) for image in found] == [
        (0, 0, 3, 3, 2),
        (3, 1, 3, 3, 0),
        (1, 1, 1, 3, 0),
    ]


def test_the_less_probable_label_comes_first(tmp_path: Path) -> None:
    add_predicted(tmp_path, "Baseline", 0, [[0, 2, 0], [0, 5, 0]], [0, 0])
    found = hardest(read_store(tmp_path).runs, Reader("--hardest", {}))
    assert [image.position for image in found] == [1, 0]


def test_images_that_only_some_runs_saw_count_by_their_share(tmp_path: Path) -> None:
    """Held-out images of folds have positions of their own."""
    first = add_predicted(tmp_path, "Baseline", 0, answers(1, 1), [0, 1])
    second = add_predicted(tmp_path, "Baseline", 1, answers(1, 1), [0, 0])
    write_predictions(first, answers(1, 1), [0, 1], positions=[7, 2])
    write_predictions(second, answers(1, 0), [0, 0], positions=[7, 5])
    found = hardest(read_store(tmp_path).runs, Reader("--hardest", {}))
    assert [(image.position, image.wrong, image.runs) for image in found] == [(7, 2, 2)]


def test_the_picture(tmp_path: Path, capsys: Output) -> None:
    """Five images: one row, as the data set gives them."""
    for seed in range(2):
        add_digits_run(tmp_path, seed, {position: int(LABELS[position] + 1) % 10 for position in range(5)})
    file = tmp_path / "pictures" / "hardest.png"
    assert f"the images that most runs get wrong are in {file}" in report(capsys, tmp_path, "--hardest", str(file))
    assert [path.name for path in file.parent.iterdir()] == ["hardest.png"]
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[0] < pixels.shape[1]
    assert (pixels < 50).any(), "digits are white on black"


def test_held_out_images_are_those_of_the_training_part(tmp_path: Path, capsys: Output) -> None:
    """Where nothing was tested; else they would be mixed up with test images."""
    fold = {"fold": 0, "folds": 2, "seed": 0, "extra": None, "published": False}
    folder = add_run(tmp_path, dataset="digits", settings={"validation": fold})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "dataset": DIGITS}))
    labels = DIGITS_SOURCE.train().labels.numpy()[[5, 700]]
    write_predictions(folder, answers(*(labels + 1) % 10, of=10), labels, [5, 700], "validation")
    file = tmp_path / "hardest.png"
    assert f"get wrong are in {file}" in report(capsys, tmp_path, "--hardest", str(file))


def test_a_picture_for_each_data_set(tmp_path: Path, capsys: Output) -> None:
    for name in ("digits", "more digits"):
        folder = add_digits_run(tmp_path, 0, {}, name)
        write_predictions(folder, answers(*(LABELS + 1) % 10, of=10), LABELS)
    report(capsys, tmp_path, "--hardest", str(tmp_path / "hardest.png"))
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["hardest-digits.png", "hardest-more_digits.png"]


def test_where_all_are_right_there_is_no_picture(tmp_path: Path, capsys: Output) -> None:
    add_digits_run(tmp_path, 0, {})
    assert main(["report", str(tmp_path), "--hardest", str(tmp_path / "hardest.png")]) == 2
    assert "--hardest: no run gets an image wrong" in capsys.readouterr().err


def test_images_that_are_gone(tmp_path: Path, capsys: Output) -> None:
    add_digits_run(tmp_path, 0, {0: 9 - LABELS[0]}, _target_="chimeramix.data.ImageFolder", root="gone/images")
    assert main(["report", str(tmp_path), "--hardest", str(tmp_path / "hardest.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "they were read from dataset.root=gone/images; say with --images FOLDER where they are" in line
    assert main(["report", str(tmp_path), "--hardest", str(tmp_path / "h.png"), "--images", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line
    assert "they were read from dataset.root=gone/images; say with --images" in line, "not from where they are not"


def test_other_images_than_the_runs_had(tmp_path: Path, capsys: Output) -> None:
    folder = add_digits_run(tmp_path, 0, {})
    write_predictions(folder, answers(*LABELS, of=10), LABELS[::-1].copy())
    assert main(["report", str(tmp_path), "--hardest", str(tmp_path / "hardest.png")]) == 2
    assert "their labels are not those of the runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--hardest", "picture.jpg"], "give a name that ends with .png"),
        (["--images", "somewhere"], "--hardest FILE.png"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, capsys: Output, options: list[str], expected: str) -> None:
    add_run(tmp_path)
    assert main(["report", str(tmp_path), *options]) == 2
    assert expected in capsys.readouterr().err
