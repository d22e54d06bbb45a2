import math

import pytest
import torch
import torch.nn.functional as F

from chimeramix.models import WideResNet


@pytest.mark.parametrize(
    ("depth", "width", "num_classes", "parameters"),
    [
        (16, 8, 10, 10_961_370),
        (16, 8, 100, 11_007_540),
        (28, 10, 10, 36_479_194),
        (28, 10, 100, 36_536_884),
        (10, 2, 10, 303_706),
    ],
)
def test_parameters(depth, width, num_classes, parameters):
    with torch.device("meta"):
        network = WideResNet(num_classes, depth, width)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_a_stem_of_stride_2_halves_the_image_once_more():
    """At 96 pixels the groups see 48, 24 and 12, and the published 12 x 12 average pooling is the mean over all."""
    with torch.device("meta"):
        network = WideResNet(10, 16, 8, stem_stride=2)
    sides = []
    for layer in (network.stem, *network.groups):
        layer.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    assert network(torch.empty(2, 3, 96, 96, device="meta")).shape == (2, 10)
    assert sides == [48, 48, 24, 12]
    torch.manual_seed(0)
    halved, plain = WideResNet(10, 10, 1, stem_stride=2), WideResNet(10, 10, 1)
    plain.load_state_dict(halved.state_dict())  # the same weights by the same names
    images = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(halved.stem(images), plain.stem(images)[..., ::2, ::2])


@pytest.mark.parametrize(("size", "sides"), [(32, [32, 16, 8]), (64, [64, 32, 16]), (30, [30, 15, 8])])
def test_shapes_of_the_groups(size, sides):
    with torch.device("meta"):
        network = WideResNet(100, 28, 10, dropout=0.3)
    shapes = []
    for layer in (network.stem, *network.groups):
        layer.register_forward_hook(lambda _, __, out: shapes.append(list(out.shape)))
    logits = network(torch.empty(2, 3, size, size, device="meta"))
    assert shapes == [[2, 16, size, size]] + [
        [2, c, side, side] for c, side in zip([160, 320, 640], sides, strict=True)
    ]
    assert [len(group) for group in network.groups] == [4, 4, 4]
    assert logits.shape == (2, 100)


def recomputed(network, images, training):
    """The forward pass from the weights alone, in the order of the paper's equations."""

    def activated(features, norm):
        mean, variance = norm.running_mean, norm.running_var
        if training:
            mean, variance = features.mean(dim=(0, 2, 3)), features.var(dim=(0, 2, 3), correction=0)
        mean, variance, weight, bias = (v.view(1, -1, 1, 1) for v in (mean, variance, norm.weight, norm.bias))
        return ((features - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp(min=0)

    x = F.conv2d(images, network.stem.weight, padding=1)
    for number, group in enumerate(network.groups):
        for position, block in enumerate(group):
            stride = 2 if number > 0 and position == 0 else 1
            first = activated(x, block.norm1)
            hidden = activated(F.conv2d(first, block.conv1.weight, stride=stride, padding=1), block.norm2)
            if x.shape[1] != block.conv2.weight.shape[0]:
                x = F.conv2d(first, block.shortcut.weight, stride=stride)
            x = x + F.conv2d(hidden, block.conv2.weight, padding=1)
    pooled = F.avg_pool2d(activated(x, network.norm), 8).flatten(1)
    return pooled @ network.head.weight.T + network.head.bias


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("width", [1, 2])  # with width 1 the first group needs no wider shortcut
def test_forward_against_a_plain_recomputation(training, width):
    torch.manual_seed(0)
    network = WideResNet(5, 16, width).double().train(training)
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for value in (norm.weight.data, norm.running_var):
            value.uniform_(0.5, 1.5)
        for value in (norm.bias.data, norm.running_mean):
            value.uniform_(-0.5, 0.5)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = recomputed(network, images, training)
        torch.testing.assert_close(network(images), expected)


def test_initialisation():
    torch.manual_seed(0)
    network = WideResNet(10, 16, 4)
    block = network.groups[1][0]
    for convolution in (block.conv1, block.conv2, block.shortcut):
        area = convolution.kernel_size[0] ** 2
        deviation = math.sqrt(2 / (area * convolution.out_channels))
        assert convolution.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert convolution.weight.mean().item() == pytest.approx(0, abs=0.05 * deviation)
    assert not network.head.bias.any()
    assert not any(m.bias is not None for m in network.modules() if isinstance(m, torch.nn.Conv2d))


def test_dropout_between_the_convolutions_in_training_only():
    torch.manual_seed(0)
    network = WideResNet(4, 10, 1, dropout=0.5)
    images = torch.randn(2, 3, 32, 32)
    zeros = []
    network.groups[2][0].conv2.register_forward_pre_hook(lambda _, args: zeros.append((args[0] == 0).float().mean()))
    with torch.no_grad():
        network(images)
        network.eval()
        assert torch.equal(network(images), network(images))
    assert zeros[0] > 0.65  # ReLU takes about a half, dropout half of the rest
    assert zeros[1] < 0.65


def test_without_dropout_no_random_number_is_drawn():
    network = WideResNet(4, 10, 1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    network(torch.zeros(2, 3, 16, 16))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 16, 8), "num_classes must be at least 2, got 1"),
        ((10, 15, 8), r"depth must be 6n \+ 4 .*, got 15"),
        ((10, 4, 8), r"depth must be 6n \+ 4 .*, got 4"),
        ((10, 16, 0), "width must be at least 1, got 0"),
        ((10, 16, 8, 0.0, 0), "stem_stride must be at least 1, got 0"),
        ((10, 16, 8, 1.0), r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        WideResNet(*arguments)
