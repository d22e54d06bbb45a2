"""A combination that a data set can't serve is refused by the sweep's command, before anything starts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chimeramix.cli import main
from chimeramix.config.compose import Tree
from chimeramix.data import Digits, ImageFolder
from chimeramix.errors import UserError
from chimeramix.sweep.driver import sweep
from tests.runs.tiny import CLASSIFIER, GENERATOR

DIGITS = ["+dataset=demo/digits", "machine.device=cpu", "hydra/launcher=basic"]
# 79 to 81 images of each class, 797 in all.


def refused(tmp_path: Path, role: str, *words: str) -> str:
    """The error of a sweep, which must leave nothing behind."""
    folders = [f"machine.runs_dir={tmp_path}/runs", f"machine.data_dir={tmp_path}/data"]
    with pytest.raises(UserError) as error:
        sweep(Tree(role), [*words, *folders])
    assert not (tmp_path / "runs").exists()
    # Digests of one's own images may be kept, where these are older than two seconds.
    assert {path.name for path in (tmp_path / "data").glob("*")} <= {"digests"}, "nothing is downloaded"
    return str(error.value)


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_more_labels_than_a_class_has(tmp_path: Path, role: str) -> None:
    words = [*DIGITS, "+experiment=chimeramix_grid", "max_labels_per_class=2,5000"]
    message = refused(tmp_path, role, *words)
    smallest = int(Digits("digits", 8, [0.5] * 3, [0.5] * 3).train().labels.bincount().min())
    assert message == (
        f"max_labels_per_class is 5000 but a class of digits has only {smallest} training images: "
        f"set max_labels_per_class={smallest} or less"
    )


@pytest.mark.parametrize(
    ("dataset", "most"),
    [
        ("cifair10", 5000),
        ("more/cifar10", 5000),
        ("cifair100", 500),
        ("more/cifar100", 500),
        ("stl10", 500),
        ("more/tiny_imagenet", 500),
    ],
)
def test_published_data_sets_need_no_download_to_say_so(tmp_path: Path, dataset: str, most: int) -> None:
    words = [f"+dataset={dataset}", "+experiment=baseline", "hydra/launcher=basic", "machine.device=cpu"]
    message = refused(tmp_path, "classifier", *words, f"max_labels_per_class=5,{most + 1}")
    assert f"has only {most} training images" in message


@pytest.mark.parametrize(
    ("role", "words", "expected"),
    [
        (
            "classifier",
            ["+experiment=mixmatch", "procedure.unlabelled=10,778"],
            "procedure.unlabelled=778: only 777 training images are not in the labelled subset",
        ),
        ("generator", ["generator=glico", "generator.unlabelled=0,778"], "generator.unlabelled=778: only 777 training"),
        ("classifier", ["+experiment=glico", "generator.unlabelled=0,778"], "generator.unlabelled=778: only 777"),
    ],
)
def test_more_unlabelled_images_than_there_are(tmp_path: Path, role: str, words: list[str], expected: str) -> None:
    """Of the 797, all but the labelled 2 of 10 classes."""
    assert expected in refused(tmp_path, role, *DIGITS, "max_labels_per_class=2", *words)


@pytest.mark.parametrize(
    ("role", "words", "expected"),
    [
        (
            "generator",
            ["+experiment=chimeramix_grid", *GENERATOR, "generator.include_self=false", "max_labels_per_class=2,1"],
            "generator: include_self=false needs at least two samples",
        ),
        (
            "classifier",
            ["+experiment=chimeramix_grid_direct", "mixer.include_self=false", "max_labels_per_class=2,1"],
            "mixer: include_self=false needs at least two samples",
        ),
        (
            "classifier",
            ["+experiment=baseline", "max_labels_per_class=5,2", "validation.fold=0"],
            "validation.folds=5: a class of digits has 2 images in the drawn subset, and each fold needs one",
        ),
        (
            "generator",
            ["+experiment=chimeramix_grid", *GENERATOR, "max_labels_per_class=70", "validation.extra=5,10"],
            "validation.extra=10: a class of digits has only 9 training images outside of the drawn subset",
        ),
        (
            "classifier",
            ["+experiment=mixmatch", "max_labels_per_class=2", "validation.extra=3", "procedure.unlabelled=748"],
            "procedure.unlabelled=748: only 747 training images are not",
        ),
        (
            "classifier",
            ["+experiment=baseline", "split=gem", "max_labels_per_class=50,5"],
            "max_labels_per_class is 5 but the published split has 50 images of each class",
        ),
        (
            "generator",
            ["+experiment=several/grid", *GENERATOR, "max_labels_per_class=4,3"],
            "generator: mask.images=4 needs 4 images of each class, but the smallest has only 3",
        ),
        (
            "classifier",
            ["+experiment=several/grid_direct", "mask.images=4,8", "max_labels_per_class=5"],
            "mixer: mask.images=8 needs 8 images of each class, but the smallest has only 5",
        ),
        (
            "classifier",
            ["+experiment=mixmatch", "mixer=none,mixup", "max_labels_per_class=2"],
            "procedure mixes images itself: choose mixer=none",
        ),
        (
            "classifier",
            ["+experiment=mixmatch", "average=none,ema", "max_labels_per_class=2"],
            "procedure averages the weights itself: choose average=none",
        ),
        (
            "classifier",
            ["+experiment=several/grid_direct", "max_labels_per_class=8", "validation.fold=0", "mask.images=7,8"],
            "mixer: mask.images=8 needs 8 images of each class, but the smallest has only 7",
        ),
        (
            "classifier",
            ["+experiment=automix", "model=wideresnet_10_2,scattering", "max_labels_per_class=2"],
            "AutoMix does not know which feature maps of ParametricScattering to mix by: set procedure.layer",
        ),
    ],
)
def test_other_combinations_that_exclude_each_other(tmp_path: Path, role: str, words: list[str], expected: str) -> None:
    assert expected in refused(tmp_path, role, *DIGITS, *words)


def test_status_recommends_no_impossible_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    words = ["train_classifier.py", "+dataset=demo/digits", "+experiment=baseline", "max_labels_per_class=5,5000"]
    assert main(["status", str(tmp_path / "runs"), *words]) == 2
    assert "max_labels_per_class is 5000 but a class of digits" in capsys.readouterr().err


def own_images(root: Path, sizes: tuple[int, ...]) -> Path:
    for number, size in enumerate(sizes):
        for part, count in (("train", size), ("test", 1)):
            folder = root / part / f"class{number}"
            folder.mkdir(parents=True)
            for image in range(count):
                Image.fromarray(np.full((8, 8, 3), image, dtype=np.uint8)).save(folder / f"{image}.png")
    return root


def test_own_images(tmp_path: Path) -> None:
    root = own_images(tmp_path / "flowers", (4, 3, 5))
    own = ["+dataset=own/image_folder", f"dataset.root={root}", "+experiment=baseline", "machine.device=cpu"]
    message = refused(tmp_path, "classifier", *own, "hydra/launcher=basic", "max_labels_per_class=3,4")
    assert "max_labels_per_class is 4" in message
    assert "has only 3 training images" in message


def test_a_data_set_says_how_many_it_has(tmp_path: Path) -> None:
    """As many as it then reads."""
    common = ([0.5] * 3, [0.5] * 3)
    folder = ImageFolder(str(own_images(tmp_path / "flowers", (4, 3, 5))), "flowers", 8, *common)
    for source in (folder, Digits("digits", 8, *common)):
        assert list(source.class_sizes()) == source.train().labels.bincount().tolist()


def test_one_run_is_singular(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "chimeramix")
    words = [*DIGITS, "+experiment=baseline", *CLASSIFIER, "max_labels_per_class=2", f"machine.runs_dir={tmp_path}"]
    sweep(Tree("classifier"), words)
    assert "1 run: 1 missing" in caplog.text
    assert "the run is done" in caplog.text
    caplog.clear()
    sweep(Tree("generator"), [*DIGITS, "+experiment=baseline", f"machine.runs_dir={tmp_path}"])
    assert "1 of 1 combination trains no generator: nothing to do" in caplog.text


def test_classes_of_unknown_size_are_no_reason_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only reading the data would tell, a group of three may be had; the other combination is refused."""
    monkeypatch.setattr(Digits, "class_sizes", lambda self: None)
    words = ["+experiment=several/grid_direct", "max_labels_per_class=null", "mask.images=3", "mask.mix_size=4,1000"]
    assert "mix_size (1000) must be at most" in refused(tmp_path, "classifier", *DIGITS, *words)
