"""`chimeramix.load_classifier`, as a library's user has it."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import v2

import chimeramix
from chimeramix.errors import UserError
from chimeramix.models import WideResNet
from chimeramix.runs.classifier import Classifier

DIGIT = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture
def classifier(uninterrupted: dict[str, Path]) -> Classifier:
    return chimeramix.load_classifier(uninterrupted["classifier"])


def test_logits_are_those_of_the_weights_that_the_run_wrote(
    classifier: Classifier, uninterrupted: dict[str, Path]
) -> None:
    image = Image.fromarray(DIGIT)
    batch = torch.stack([classifier.preprocess(image), classifier.preprocess(torch.from_numpy(DIGIT).movedim(2, 0))])
    assert (batch.shape, batch.dtype) == ((2, 3, 16, 16), torch.float32)
    logits = classifier(batch)
    assert (logits.shape, logits.dtype) == ((2, 10), torch.float32)
    assert not logits.requires_grad

    network = WideResNet(num_classes=10, depth=10, width=1, dropout=0.3)
    network.load_state_dict(load_file(uninterrupted["classifier"] / "classifier.safetensors"))
    convert = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
    torch.testing.assert_close(logits, network.eval()(convert(image)[None]).expand(2, -1))


def test_what_it_says_of_itself(classifier: Classifier) -> None:
    assert classifier.classes == tuple("0123456789")
    assert classifier.image_size == 16
    assert not classifier.training
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_any_size_and_kind_of_image(classifier: Classifier, tmp_path: Path) -> None:
    """Grey, with transparency, turned by EXIF; what is no square loses its ends."""
    wide = Image.fromarray(np.pad(DIGIT, [(0, 0), (5, 5), (0, 0)]))
    torch.testing.assert_close(
        classifier.preprocess(wide), classifier.preprocess(Image.fromarray(DIGIT)), rtol=0, atol=0
    )
    grey = Image.fromarray(DIGIT).convert("L")
    grey.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / "grey.png")
    same = classifier.preprocess(Image.merge("RGB", [grey] * 3))
    doubled = classifier.preprocess(tmp_path / "grey.png")
    assert doubled[0].equal(doubled[2])
    assert (doubled - same).abs().mean() < 0.3  # smoothed, of values in [-1, 1]
    clear = classifier.preprocess(Image.fromarray(DIGIT).convert("RGBA"))
    assert clear.equal(classifier.preprocess(str(save(tmp_path / "plain.png"))))


def save(path: Path) -> Path:
    Image.fromarray(DIGIT).save(path)
    return path


def test_preprocess_goes_to_the_workers_of_a_data_loader(classifier: Classifier) -> None:
    copy = pickle.loads(pickle.dumps(classifier.preprocess))
    assert copy(Image.fromarray(DIGIT)).equal(classifier.preprocess(Image.fromarray(DIGIT)))


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)]
)
def test_other_tensors_are_refused(classifier: Classifier, image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"an image must be uint8 \[3, height, width\], got"):
        classifier.preprocess(image)


def test_folders_that_hold_none_are_refused(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a finished run"):
        chimeramix.load_classifier(tmp_path)
    with pytest.raises(UserError, match="is the run of a generator, not of a classifier"):
        chimeramix.load_classifier(uninterrupted["generator"])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"config.json is not that of an exported classifier \(KeyError: 'model'\)"):
        chimeramix.load_classifier(tmp_path)


def test_an_exported_folder_calls_no_other_code_unasked(classifier: Classifier, tmp_path: Path) -> None:
    """What comes from elsewhere could name anything, at any depth."""
    content = classifier.blueprint.to_json()
    content["model"]["depth"] = {"_target_": "os.getpid"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"names code outside of this package \(os.getpid\)"):
        chimeramix.load_classifier(tmp_path)
