"""CIFAR-10-C and CIFAR-100-C, read from small archives in the layout of the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from chimeramix.cli import main
from chimeramix.config.compose import compose_settings
from chimeramix.config.sweep import read_sweep
from chimeramix.config.tree import Tree
from chimeramix.data import CIFAR10C, CIFAR100C
from chimeramix.data.corrupted import CORRUPTIONS, EXTRA, GROUPS
from chimeramix.data.image_file import Reading
from chimeramix.errors import UserError
from chimeramix.runs.train import train
from chimeramix.sweep.plan import plan
from chimeramix.types import LabelledImages
from tests.data.fake_archives import HALF, corrupt, publish_corrupted

PIXELS = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
LABELS = [3, 8, 8, 0]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder that serves as mirror."""
    store = tmp_path / "mirror"
    store.mkdir()
    return store


@pytest.fixture(params=[CIFAR10C, CIFAR100C])
def source(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> CIFAR10C:
    small = publish_corrupted(request.param, store, PIXELS, LABELS, [1, 3])
    kind: type[CIFAR10C] = type(request.param.__name__, (request.param,), small)
    return kind("c", 32, HALF, HALF, data_dir=str(tmp_path / "data"), mirror=str(store))


def test_images_are_those_of_a_corruption_and_a_severity(source: CIFAR10C) -> None:
    test = source.test()
    part: LabelledImages = test
    assert len(part.classes) == (10 if type(source).__name__ == "CIFAR10C" else 100)
    assert len(test.labels) == 19 * 5 * 4
    for corruption, severity in (("gaussian_noise", 1), ("fog", 5), ("saturate", 3)):
        positions = test.positions(corruption, severity)
        assert test.labels[list(positions)].tolist() == LABELS
        expected = torch.from_numpy(corrupt(PIXELS, corruption, severity))
        assert torch.equal(test.read(positions), expected)
        assert torch.equal(test.read([positions[3], positions[1]]), expected[[3, 1]])


def test_images_can_be_read_as_another_data_set_reads_its_own(source: CIFAR10C) -> None:
    """By PIL's own functions."""
    test = source.test()
    positions = test.positions("frost", 2)
    expected = []
    for pixels in corrupt(PIXELS, "frost", 2):
        image = ImageOps.fit(Image.fromarray(pixels.transpose(1, 2, 0)), (28, 28), Image.Resampling.BILINEAR)
        expected.append(np.asarray(image)[2:26, 2:26].transpose(2, 0, 1))
    assert (test.read_as(Reading(24, "crop", 28), positions).numpy() == np.stack(expected)).all()
    assert torch.equal(test.read_as(Reading(32, "squash"), positions), test.read(positions))


def test_the_usual_corruptions_are_fifteen() -> None:
    assert [len(group) for group in GROUPS.values()] == [3, 4, 4, 4]
    assert len(set(CORRUPTIONS)) == 19
    assert set(CORRUPTIONS) - {name for group in GROUPS.values() for name in group} == set(EXTRA)


def test_duplicates_are_where_cifair_has_other_images(source: CIFAR10C, store: Path) -> None:
    assert source.duplicates() == [1, 3]
    assert {path.name for path in source.data_dir.iterdir() if path.is_dir()} >= {source.folder.name}
    np.save(source.folder / "labels.npy", np.tile([8, 3, 8, 0], 5))
    with pytest.raises(UserError, match=r"labels\.npy has not the labels of CIFAR's test part"):
        source.duplicates()


def test_damaged_files_are_named(source: CIFAR10C) -> None:
    test = source.test()
    fog = source.folder / "fog.npy"
    fog.write_bytes(fog.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"fog\.npy is not the published file .* remove it, so that it is extracted"):
        test.read(test.positions("fog", 1))
    assert test.read(test.positions("snow", 1)).shape == (4, 3, 32, 32)
    np.save(source.folder / "labels.npy", np.full(20, 100))
    with pytest.raises(UserError, match=r"labels\.npy is not the published file"):
        source.test()


def test_a_file_that_is_gone_is_extracted_again(source: CIFAR10C) -> None:
    before = source.test().read([0])
    (source.folder / "gaussian_noise.npy").unlink()
    again = type(source)("c", 32, HALF, HALF, data_dir=str(source.data_dir), mirror="absent")
    assert torch.equal(again.test().read([0]), before)


@pytest.mark.parametrize(
    ("kind", "address", "md5"),
    [
        (CIFAR10C, "2535967/files/CIFAR-10-C.tar", "56bf5dcef84df0e2308c6dcbcbbd8499"),
        (CIFAR100C, "3555552/files/CIFAR-100-C.tar", "11f0ed0f1191edbf9fa23466ae6021d3"),
    ],
)
def test_the_real_releases(kind: type[CIFAR10C], address: str, md5: str) -> None:
    assert kind.url == f"https://zenodo.org/records/{address}"
    assert kind.md5 == md5


def test_prepare_fetches_them(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in publish_corrupted(CIFAR10C, store, PIXELS, LABELS, []).items():
        monkeypatch.setattr(CIFAR10C, name, value)
    words = [f"machine.data_dir={tmp_path / 'data'}", f"machine.mirror={store}"]
    assert main(["prepare", "corrupted/cifar10", *words]) == 0
    assert "corrupted/cifar10 is ready: 10 classes, no training and 380 test images" in capsys.readouterr().out


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_nothing_is_trained_on_them(role: str, tmp_path: Path) -> None:
    """Neither alone nor in a sweep, and nothing is fetched or written before that is said."""
    words = ["+dataset=corrupted/cifar100", "+experiment=chimeramix_grid", f"machine.data_dir={tmp_path / 'data'}"]
    words += [f"machine.runs_dir={tmp_path / 'runs'}", "machine.device=cpu"]
    refusal = r"dataset\.name=cifar100_c: has test images only.*evaluate RUN \+dataset=corrupted/cifar100"
    with pytest.raises(UserError, match=refusal):
        train(compose_settings(role, words))
    with pytest.raises(UserError, match=refusal):
        plan(read_sweep(Tree(role), [*words, "seed=0,1"]))
    assert list(tmp_path.iterdir()) == []
