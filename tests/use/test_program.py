"""The program that is exported: resizing as PIL does it, and the models."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from PIL import Image
from torch import Tensor, nn

from chimeramix.data.image_file import Reading
from chimeramix.errors import RunFailure
from chimeramix.models.real_scattering import RealScattering
from chimeramix.models.scattering import Scattering
from chimeramix.runs.classifier import Blueprint, Classifier
from chimeramix.use.onnx_file import save_onnx
from chimeramix.use.program import Program, compare, program_of, save_pt2, squares

PILLOW = int(Image.__version__.split(".")[0])


def classifier_of(network: nn.Module, reading: Reading, views: str = "plain") -> Classifier:
    classes = ("a", "b", "c")
    return Classifier(network, Blueprint({}, classes, reading, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), views, "fp32", "0"))


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("resize_to", [None, 28])
def test_squares_are_pils(resize: str, resize_to: int | None) -> None:
    """Of 150 sizes from 1 pixel to 120, larger and smaller than the square."""
    reading = Reading(24, resize, resize_to)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    for height, width in torch.randint(1, 120, (150, 2), generator=rng).tolist():
        image = torch.randint(256, (3, height, width), generator=rng, dtype=torch.uint8)
        difference = (squares(image[None], reading)[0].int() - reading(image).int()).abs()
        assert difference.max() <= (0 if PILLOW < 13 or width >= height else 1), (height, width)


def test_squares_of_arrays() -> None:
    """Pixels beside the cut square count for nothing, as where it is cut out first."""
    reading = Reading(8, "array")
    rng = torch.Generator().manual_seed(0)
    for height, width in ((8, 8), (9, 8), (31, 20), (5, 12), (40, 41)):
        image = torch.randint(256, (3, height, width), generator=rng, dtype=torch.uint8)
        difference = (squares(image[None], reading)[0].int() - reading(image).int()).abs().max()
        assert difference <= (0 if min(height, width) == 8 else 1)


def test_images_of_the_runs_own_size_are_not_touched() -> None:
    image = torch.randint(256, (2, 3, 24, 24), dtype=torch.uint8)
    assert squares(image, Reading(24, "crop")) is image
    operations = {node.name for node in program_of(classifier_of(Small(), Reading(24, "crop")), (24, 24)).graph.nodes}
    assert not any("matmul" in name for name in operations)


@pytest.mark.parametrize(("scales", "orientations", "size"), [(1, 3, 12), (2, 4, 32), (3, 2, 32)])
def test_scattering_without_complex_numbers(scales: int, orientations: int, size: int) -> None:
    trained = Scattering(scales, orientations).double()
    with torch.no_grad():
        trained.parameters_of_wavelets.mul_(
            torch.linspace(0.9, 1.1, trained.parameters_of_wavelets.numel()).view(4, -1)
        )
    trained.float()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(RealScattering(trained, size)(images), trained(images), atol=2e-6, rtol=0)


MODELS = [
    "wideresnet_10_2 {width: 1, dropout: 0.3, stem_stride: 2}",
    "harmonic_wideresnet_10_2 {width: 1, levels: [null, 3, 2]}",
    pytest.param("harmonic_resnet18", marks=pytest.mark.slow),
    pytest.param("harmonic_scattering {scales: 2, orientations: 2, channels: 4}", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_model_becomes_a_program(model: str, tmp_path: Path) -> None:
    """Compared on images of several sizes, in batches of several lengths, with the classifier itself."""
    name, _, values = model.partition(" ")
    content = yaml.safe_load(Path(f"conf/model/{name}.yaml").read_text()) | yaml.safe_load(values or "{}")
    torch.manual_seed(0)
    network = instantiate(content, num_classes=3)
    with torch.no_grad():  # running means of nothing would leave the logits all but constant
        network.train()(torch.randn(8, 3, 16, 16))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    classifier = classifier_of(network, Reading(16, "crop"), "flip")
    program = program_of(classifier)
    assert compare(save_pt2(program, classifier, tmp_path / "a.pt2"), classifier, None) <= 1e-5
    assert compare(save_onnx(program, classifier, tmp_path / "a.onnx", None), classifier, None) <= 1e-4
    after = classifier.network.state_dict()  # the program has weights of its own
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


class Small(nn.Module):
    """Somebody's own model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.mean((2, 3)))


class OfTheirValues(Small):
    """One whose path depends on the pixels, which no program can follow."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) if images.mean() > 0 else super().forward(-images)


def test_a_model_that_is_no_program_is_refused_in_a_line() -> None:
    with pytest.raises(RunFailure, match=r"^the model can't be exported \(\w+: .*\)$"):
        program_of(classifier_of(OfTheirValues(), Reading(8, "crop")))


class Bessel(Small):
    """One with an operation that ONNX has no name for."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(torch.special.bessel_j0(images))


def test_an_operation_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    classifier = classifier_of(Bessel(), Reading(8, "crop"))
    with pytest.raises(RunFailure, match=r"^the model can't be written as ONNX \(.*bessel_j0"):
        save_onnx(program_of(classifier), classifier, tmp_path / "a.onnx", None)


def test_a_program_that_gives_other_logits_is_refused() -> None:
    classifier = classifier_of(Small(), Reading(8, "crop"))
    program = Program(classifier)
    assert compare(program, classifier, None) == 0
    with pytest.raises(RunFailure, match=r"^the program gives other logits than the run, by up to 0.01"):
        compare(lambda images: program(images) + 0.01, classifier, None)
    with pytest.raises(RunFailure, match="by up to nan"):
        compare(lambda images: program(images) * np.nan, classifier, None)
