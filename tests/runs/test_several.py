"""Groups of more than two images of a class, through both commands."""

import json
from pathlib import Path

import pytest
import torch

from chimeramix.errors import UserError
from chimeramix.evaluate.composing import Composer, with_composing_mixer
from chimeramix.evaluate.images import training_images
from chimeramix.mixing import ChimeraMix
from chimeramix.runs.trained import read_generator
from chimeramix.streams import RunStreams
from chimeramix.training.classifier import ClassifierTraining
from chimeramix.training.generator import GeneratorTraining
from tests.runs.interrupt import Killed, kill_at_call
from tests.runs.test_experiments import run
from tests.runs.tiny import assert_same_run, folder_of

THREE = ["mask.images=3", "max_labels_per_class=3"]
FINE = [*THREE, "mask.assign=dirichlet", "mask.source=random", "mask.min_size=20", "mixer.include_self=false"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a generator and of the classifier that uses it."""
    runs = tmp_path_factory.mktemp("whole")
    for role in ("generator", "classifier"):
        run(role, "chimeramix_segmentation", runs, *FINE)
    return runs


def test_an_interrupted_run_ends_with_the_same_bits(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, training in (("generator", GeneratorTraining), ("classifier", ClassifierTraining)):
        with monkeypatch.context() as patch:
            kill_at_call(patch, training, "step", 6)
            with pytest.raises(Killed):
                run(role, "chimeramix_segmentation", tmp_path, *FINE, "monitor.checkpoint_seconds=0")
        torch.manual_seed(99)
        assert (folder_of(role, tmp_path) / "checkpoint.pt").exists()
        assert_same_run(run(role, "chimeramix_segmentation", tmp_path, *FINE), folder_of(role, whole))


def test_the_number_of_images_stands_in_the_methods_name(tmp_path: Path) -> None:
    folder = run("classifier", "several/grid_direct", tmp_path, *THREE)
    assert json.loads((folder / "result.json").read_text())["method"] == "GridMix (pixels), 3 images"


@pytest.mark.parametrize(("role", "experiment"), [("generator", "several/grid"), ("classifier", "several/grid_direct")])
@pytest.mark.parametrize(
    "more", [["max_labels_per_class=3"], ["max_labels_per_class=4", "validation.fold=0", "validation.folds=4"]]
)
def test_classes_that_are_too_small(role: str, experiment: str, more: list[str], tmp_path: Path) -> None:
    told = r"mask\.images=4 needs 4 images of each class, but the smallest has only 3 .*: set mask\.images=3, raise max"
    with pytest.raises(UserError, match=told) as error:
        run(role, experiment, tmp_path, *more)
    assert "\n" not in str(error.value)
    assert not (tmp_path / role).exists()


def test_a_generator_is_found_for_its_number_of_images(whole: Path) -> None:
    """Those of another number are another generator's."""
    with pytest.raises(UserError, match=r"there is none; train it with: .*mask\.images=2"):
        run("classifier", "chimeramix_segmentation", whole, *FINE, "mask.images=2")


def test_a_trained_generator_in_another_loop(tmp_path: Path) -> None:
    folder = run("generator", "several/grid", tmp_path, "dataset.image_size=32", *THREE)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, 3, 32, 32), generator=generator, dtype=torch.uint8)
    mixer = ChimeraMix.from_run(folder, images, torch.arange(12) % 3, probability=1, rng=0)
    mixed, targets = mixer(torch.zeros(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1]))
    assert mixed.shape == (5, 3, 32, 32)
    assert mixed.isfinite().all()
    assert torch.equal(targets, torch.eye(3)[[0, 1, 2, 0, 1]])
    with pytest.raises(ValueError, match=r"mask\.images=3 needs 3 images of each class, but the smallest has only 2"):
        ChimeraMix.from_run(folder, images[:6], torch.arange(6) % 3)


def test_superpixels_of_images_from_elsewhere_are_not_known(whole: Path) -> None:
    with pytest.raises(UserError, match=r"mask\.source=random needs superpixels"):
        ChimeraMix.from_run(
            folder_of("generator", whole), torch.zeros(3, 3, 32, 32, dtype=torch.uint8), torch.zeros(3).long()
        )


def test_an_evaluation_knows_all_images_of_a_composition(tmp_path: Path) -> None:
    """Under a mask that gives all places to one image of the group, a composition is that image's reconstruction."""
    folder = run("generator", "several/grid", tmp_path, "dataset.image_size=32", *THREE)
    _, config, network = read_generator(folder)
    config = with_composing_mixer(config, network)
    data = training_images(config, folder)
    composer = Composer(config, data, network, RunStreams(0, torch.device("cpu")), torch.device("cpu"))
    for number in range(3):
        shares = torch.eye(3)[number].view(1, 3, 1, 1)
        composer.mixer.mask = lambda first, partner, size, rng, shares=shares: shares.expand(len(first), 3, size, size)  # type: ignore[assignment]
        made = composer.compose(20)
        assert made.sources is not None
        assert made.sources.shape == (20, 3)
        assert (data.labels[made.sources] == data.labels[made.sources[:, :1]]).all()
        with torch.no_grad():
            expected = composer.pixels(network(data.subset(32).images[made.sources[:, number]] / 127.5 - 1))
        assert (made.images.int() - expected.int()).abs().max() <= 1
