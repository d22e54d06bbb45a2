import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision import transforms

from chimeramix.losses import (
    CosineCrossEntropyLoss,
    CosineLoss,
    LaplacianPyramidLoss,
    SoftTargetCrossEntropy,
    VGG16Loss,
)


def test_cross_entropy_of_a_worked_example():
    logits = torch.tensor([[math.log(1.0), math.log(3.0)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
    targets = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    expected = (0.5 * math.log(4) + 0.5 * math.log(4 / 3) + math.log(2)) / 2
    assert SoftTargetCrossEntropy()(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_agrees_with_torch_for_class_numbers_and_probabilities():
    rng = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 4, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    soft = torch.rand(6, 4, generator=rng, dtype=torch.float64).softmax(dim=1)
    loss = SoftTargetCrossEntropy()
    torch.testing.assert_close(loss(logits, F.one_hot(labels, 4).double()), F.cross_entropy(logits, labels))
    torch.testing.assert_close(loss(logits, soft), F.cross_entropy(logits, soft))


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_torchs(smoothing):
    rng = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 4, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    soft = torch.rand(6, 4, generator=rng, dtype=torch.float64).softmax(dim=1)
    loss = SoftTargetCrossEntropy(smoothing)
    for ours, theirs in ((F.one_hot(labels, 4).double(), labels), (soft, soft)):
        torch.testing.assert_close(loss(logits, ours), F.cross_entropy(logits, theirs, label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        SoftTargetCrossEntropy(smoothing)


def test_cross_entropy_of_half_precision_is_computed_in_float32():
    logits, targets = torch.randn(3, 5), torch.rand(3, 5).softmax(dim=1)
    result = SoftTargetCrossEntropy()(logits.bfloat16(), targets)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, SoftTargetCrossEntropy()(logits.bfloat16().float(), targets))


def test_cross_entropy_refuses_class_numbers():
    with pytest.raises(ValueError, match=r"\[batch, classes\], got \[3, 5\] and \[3\]"):
        SoftTargetCrossEntropy()(torch.zeros(3, 5), torch.zeros(3, dtype=torch.int64))


def reflected(position, size):
    if position < 0:
        return -position
    return position if position < size else 2 * (size - 1) - position


def blurred(image, factor):
    height, width = image.shape
    weights = [1, 4, 6, 4, 1]
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i, row_weight in enumerate(weights):
                for j, column_weight in enumerate(weights):
                    source = image[reflected(y + i - 2, height), reflected(x + j - 2, width)]
                    result[y, x] += factor * row_weight * column_weight / 256 * source
    return result


def slow_pyramid(image, levels):
    """One channel `[H, W]` float64 to the list of its levels, pixel by pixel."""
    result = []
    for _ in range(levels):
        small = blurred(image, 1)[::2, ::2]
        stuffed = np.zeros_like(image)
        stuffed[::2, ::2] = small
        result.append(image - blurred(stuffed, 4))
        image = small
    return result


def slow_loss(output, target, levels):
    """The mean absolute difference per level, over both images' own pyramids, added up."""
    total = 0.0
    pyramids = [
        (slow_pyramid(a, levels), slow_pyramid(b, levels))
        for one, other in zip(output.double().numpy(), target.double().numpy(), strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    for level in range(levels):
        total += np.mean([np.abs(a[level] - b[level]).mean() for a, b in pyramids])
    return total


@pytest.mark.parametrize(
    ("shape", "levels"), [((2, 3, 16, 16), 3), ((1, 2, 13, 9), 2), ((1, 1, 12, 10), 2), ((1, 1, 3, 3), 1)]
)
def test_laplacian_loss_agrees_with_loops(shape, levels):
    rng = torch.Generator().manual_seed(0)
    output, target = (2 * torch.rand(shape, generator=rng) - 1 for _ in range(2))
    expected = slow_loss(output, target, levels)
    loss = LaplacianPyramidLoss(levels)
    assert loss(output, target).item() == pytest.approx(expected, rel=1e-6)
    assert loss(output.double(), target.double()).item() == pytest.approx(expected, rel=1e-12)


def test_a_constant_offset_costs_nothing():
    target = torch.zeros(2, 3, 64, 64)
    assert LaplacianPyramidLoss()(target + 0.25, target).item() == 0
    assert LaplacianPyramidLoss()(target + 0.1, target).item() == pytest.approx(0, abs=1e-7)


def test_a_checkerboard_lies_in_the_first_level_only():
    """Along an axis, +-1 in turns are blurred to (1 - 4 + 6 - 4 + 1) / 16 = 0: the whole amplitude stays."""
    signs = 1 - 2 * (torch.arange(32) % 2).float()
    board = (signs[:, None] * signs).expand(1, 3, 32, 32)
    assert LaplacianPyramidLoss(3)(0.5 * board, torch.zeros_like(board)).item() == 0.5


def test_a_single_pixel_in_one_level():
    """The pixel at (4, 4) of 9x9 becomes, reduced, the outer product of (1, 6, 1)/16 around (2, 2). Enlarged, by
    twice the kernel, (1, 4, 6, 4, 1)/8, per axis, positions 0..4 get v = (1 + 1, 4, 6 + 6, 4 + 24, 1 + 36 + 1)/128, the
    second 1 of the first being its reflection; 5..8 by symmetry. The level is the pixel minus v v^T."""
    v = np.array([2, 4, 12, 28, 38, 28, 12, 4, 2]) / 128
    expected = np.zeros((9, 9))
    expected[4, 4] = 1
    expected -= np.outer(v, v)
    output = torch.zeros(1, 1, 9, 9)
    output[0, 0, 4, 4] = 1
    value = LaplacianPyramidLoss(1)(output, torch.zeros_like(output)).item()
    assert value == pytest.approx(np.abs(expected).mean(), rel=1e-6)


def test_laplacian_loss_is_zero_for_equal_images_and_symmetric():
    first, second = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    loss = LaplacianPyramidLoss()
    assert loss(first, first).item() == 0
    assert loss(first, second).item() == loss(second, first).item() > 0


def test_laplacian_gradient():
    rng = torch.Generator().manual_seed(0)
    output, target = (torch.rand(1, 2, 8, 7, generator=rng, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(LaplacianPyramidLoss(2), (output.requires_grad_(), target))


def test_laplacian_loss_is_float32_under_autocast():
    output, target = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    expected = LaplacianPyramidLoss()(output, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = LaplacianPyramidLoss()(output, target)
        half = LaplacianPyramidLoss()(output.bfloat16(), target)
    assert result.dtype == half.dtype == torch.float32
    assert torch.equal(result, expected)
    assert torch.equal(half, LaplacianPyramidLoss()(output.bfloat16().float(), target))


def test_laplacian_loss_serves_training_after_inference_and_has_no_state():
    loss = LaplacianPyramidLoss()
    target = torch.rand(1, 3, 16, 16)
    output = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        loss(output, target)
    output.requires_grad_()
    copy.deepcopy(loss)(output, target).backward()
    assert output.grad is not None
    assert loss.state_dict() == {}


def test_laplacian_loss_refuses():
    with pytest.raises(ValueError, match="levels must be at least 1, got 0"):
        LaplacianPyramidLoss(0)
    with pytest.raises(ValueError, match="a side of 8 pixels is too small for levels=3: the last would have 2"):
        LaplacianPyramidLoss(3)(torch.zeros(1, 3, 64, 8), torch.zeros(1, 3, 64, 8))
    with pytest.raises(ValueError, match=r"must both be .*, got \[1, 3, 64, 64\] and \[3, 64, 64\]"):
        LaplacianPyramidLoss()(torch.zeros(1, 3, 64, 64), torch.zeros(3, 64, 64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cosine_loss_is_one_minus_the_cosine(dtype: torch.dtype) -> None:
    """For a one-hot target, 1 - z_y / ||z|| (Barz & Denzler, Equation 3)."""
    logits = torch.tensor([[3.0, 4.0, 0.0], [-1.0, 2.0, 2.0]], dtype=dtype)
    targets = torch.eye(3)[[1, 0]]
    torch.testing.assert_close(CosineLoss()(logits, targets), torch.tensor((1 - 4 / 5 + 1 + 1 / 3) / 2))
    soft = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    expected = (1 - 7 / (5 * 2**0.5) + 1 - 2 / 3) / 2
    torch.testing.assert_close(CosineLoss()(logits, soft), torch.tensor(expected))


def test_cosine_loss_of_no_logits_is_finite() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = CosineLoss()(logits, torch.eye(3)[:2])
    loss.backward()
    assert loss.item() == 1
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_cosine_with_cross_entropy() -> None:
    torch.manual_seed(0)
    loss = CosineCrossEntropyLoss(3, weight=0.25)
    logits, targets = torch.randn(6, 3), torch.eye(3)[[0, 1, 2, 2, 1, 0]]
    embedding = logits / logits.norm(dim=1, keepdim=True)
    positive = embedding.clamp(min=0)
    normalised = (positive - positive.mean(0)) / (positive.var(0, correction=0) + 1e-5).sqrt()
    scores = normalised @ loss.head[2].weight.T + loss.head[2].bias
    expected = CosineLoss()(logits, targets) + 0.25 * torch.nn.functional.cross_entropy(scores, targets)
    torch.testing.assert_close(loss(logits, targets), expected)
    assert loss(logits[:1], targets[:1]).isfinite()  # a batch of one has no statistics
    with pytest.raises(ValueError, match="weight must not be negative"):
        CosineCrossEntropyLoss(3, -1)


def test_vgg16_compares_features_after_each_blocks_second_convolution(tmp_path: Path) -> None:
    """Against torchvision's network with hooks, with random weights in place of ImageNet's."""
    torch.manual_seed(0)
    with torch.device("meta"):  # without the millions of weights behind the features
        layers = torchvision.models.vgg16(weights=None).features
    layers.to_empty(device="cpu")
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    stored = {f"features.{name}": value for name, value in layers.state_dict().items()}
    torch.save(stored, tmp_path / "vgg16.pth")
    output, target = torch.rand(2, 2, 3, 32, 32)
    features: list[list[torch.Tensor]] = []
    for images in (output, target):
        features.append([])
        hidden = transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        convolutions = 0
        for layer in layers:
            hidden = layer(hidden.clone())
            convolutions += isinstance(layer, torch.nn.Conv2d)
            # Second convolutions of the blocks of 2, 2, 3, 3 and 3, and the ReLU behind each.
            if isinstance(layer, torch.nn.ReLU) and convolutions in (2, 4, 6, 9, 12):
                features[-1].append(hidden)
    expected = sum((one - other).abs().mean() for one, other in zip(*features, strict=True))
    loss = VGG16Loss(str(tmp_path / "vgg16.pth"))
    output.requires_grad_()
    torch.testing.assert_close(loss(output, target), expected)
    loss(output, target).backward()
    assert output.grad is not None
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_vgg16_without_its_weights(tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_bytes(b"nothing of the kind")
    for weights, message in [
        (None, "ImageNet"),
        ("nowhere.pth", "nowhere.pth: no such file"),
        (str(tmp_path / "other.pth"), "does not hold torchvision's VGG-16"),
    ]:
        with pytest.raises(ValueError, match=message):
            VGG16Loss(weights)
