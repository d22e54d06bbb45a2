"""`chimeramix embed`: classifiers' features in the plane."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chimeramix.cli import main
from chimeramix.data.views import Normalize
from chimeramix.errors import UserError
from chimeramix.evaluate.embedding import features_of, in_the_plane, principal_components
from chimeramix.models import WideResNet
from chimeramix.runs import build
from chimeramix.runs.train import train
from chimeramix.runs.trained import read_classifier
from tests.composing import composed
from tests.runs.tiny import folder_of, overrides, run

CPU = torch.device("cpu")
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator, a classifier that uses it, and plain training."""
    folder = tmp_path_factory.mktemp("embedded")
    run("generator", folder, experiment="chimeramix_grid")
    for experiment in ("chimeramix_grid", "baseline"):
        train(composed("classifier", overrides("classifier", folder, experiment)))
    return folder


def classifier(runs: Path, experiment: str) -> Path:
    (found,) = (runs / "classifier").glob(f"*-{experiment}-*")
    return found


def embed(folder: Path, *words: str) -> int:
    return main(["embed", str(folder), "--device", "cpu", "--count", "30", "--others", "40", *words])


def test_the_picture_has_compositions_training_and_unseen_images(runs: Path, tmp_path: Path, capsys: Output) -> None:
    assert embed(classifier(runs, "chimeramix_grid"), "--out", str(tmp_path / "seen.png")) == 0
    assert "40 unseen images, 30 compositions, 20 training images" in capsys.readouterr().out
    with Image.open(tmp_path / "seen.png") as picture:
        assert min(picture.size) > 500
    text = (tmp_path / "seen.svg").read_text()
    assert "compositions" in text
    assert "of the variance" in text


def test_without_a_mixer_there_are_no_compositions(runs: Path, capsys: Output) -> None:
    folder = classifier(runs, "baseline")
    assert embed(folder) == 0
    assert "40 unseen images, 20 training images" in capsys.readouterr().out
    assert (folder / "embedding-pca.svg").is_file()


def test_of_a_chain_without_a_generator_the_masks_on_pixels_compose() -> None:
    """MixUp behind them goes across classes."""
    words = ["+dataset=demo/digits", "max_labels_per_class=2"]
    found = {}
    for name in ("combination/chimeramix_segmentation_direct_mixup", "mixup", "chimeramix_grid"):
        mixer = build.mixer_within_classes(composed("classifier", [*words, f"+experiment={name}"]).config)
        found[name.rpartition("/")[2]] = mixer and mixer["_target_"].rpartition(".")[2]
    assert found == {
        "chimeramix_segmentation_direct_mixup": "DirectMix",
        "mixup": None,
        "chimeramix_grid": "ChimeraMix",
    }


def test_neighbours_stay_together(runs: Path, tmp_path: Path, capsys: Output) -> None:
    assert embed(classifier(runs, "baseline"), "--method", "mde", "--out", str(tmp_path / "seen")) == 0
    # Two clouds far apart, with a point of the first twice.
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(60, 8, generator=generator), 50 + torch.randn(60, 8, generator=generator)
    points = in_the_plane({"first": torch.cat([first, first[:1]]), "second": second}, torch.empty(0), "mde", seed=0)
    one, other = points.places["first"], points.places["second"]
    assert one[0].equal(one[-1])
    assert (one - one.mean(0)).norm(dim=1).mean() < (one.mean(0) - other.mean(0)).norm()


def test_components_are_those_of_the_covariance() -> None:
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 3, 2, 1, 1, 1])
    places, axes = principal_components(features)
    values, vectors = np.linalg.eigh(np.cov(features.double().numpy().T))
    expected = (features - features.mean(0)).double().numpy() @ vectors[:, ::-1][:, :2]
    assert np.abs(places.numpy()) == pytest.approx(np.abs(expected), abs=1e-4)
    assert f"({values[-1] / values.sum():.0%} of the variance)" in axes[0]
    assert (places.gather(0, places.abs().argmax(0, keepdim=True)) > 0).all(), (
        "a sign is arbitrary, but always the same"
    )


def test_features_are_what_the_last_layer_gets(runs: Path) -> None:
    _, config, network = read_classifier(classifier(runs, "baseline"))
    assert isinstance(network, WideResNet)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    normalize = Normalize(config.dataset["mean"], config.dataset["std"], CPU)
    features = features_of(network, images, normalize, CPU)
    with torch.no_grad():
        assert torch.allclose(network.head(features), network(normalize(images)), atol=1e-5)


def test_a_network_without_a_linear_layer() -> None:
    images, normalize = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), Normalize([0.5] * 3, [0.5] * 3, CPU)
    with pytest.raises(UserError, match="Sequential has no linear layer"):
        features_of(nn.Sequential(nn.Conv2d(3, 2, 1)), images, normalize, CPU)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--others", "-1"], "--others -1: must be at least 0"),
        (["--out", "nowhere/seen.png"], "there is no folder nowhere"),
    ],
)
def test_mistakes(runs: Path, capsys: Output, words: list[str], expected: str) -> None:
    assert embed(classifier(runs, "baseline"), *words) == 2
    assert expected in capsys.readouterr().err


def test_a_folder_for_the_picture_is_looked_for_first(tmp_path: Path, capsys: Output) -> None:
    assert embed(tmp_path, "--out", str(tmp_path / "gone" / "seen")) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_folders_that_are_no_classifier(runs: Path, tmp_path: Path, capsys: Output) -> None:
    assert embed(folder_of("generator", runs)) == 2
    assert "is the run of a generator, not of a classifier" in capsys.readouterr().err
    assert embed(tmp_path) == 2
    assert "is not the folder of a finished run" in capsys.readouterr().err


def test_a_generator_that_is_gone(runs: Path, tmp_path: Path, capsys: Output) -> None:
    alone = shutil.copytree(classifier(runs, "chimeramix_grid"), tmp_path / "runs" / "classifier" / "alone")
    assert embed(alone) == 2
    assert "used the generator" in capsys.readouterr().err
