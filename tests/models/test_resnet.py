import pytest
import torch

from chimeramix.models import resnet


@pytest.mark.parametrize(
    ("name", "stem", "num_classes", "parameters"),
    [
        ("resnet50", "imagenet", 10, 23_528_522),
        ("resnet18", "cifar", 10, 11_173_962),
        ("resnet18", "cifar", 100, 11_220_132),
        ("resnet18", "cifar", 200, 11_271_432),
        ("resnext50_32x4d", "cifar", 10, 22_992_714),
        ("resnext50_32x4d", "cifar", 100, 23_177_124),
        ("resnext50_32x4d", "cifar", 200, 23_382_024),
    ],
)
def test_parameters(name, stem, num_classes, parameters):
    with torch.device("meta"):
        network = resnet(num_classes, name, stem)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "stem", "size", "expected"),
    [
        ("resnet50", "imagenet", 96, [[256, 24, 24], [512, 12, 12], [1024, 6, 6], [2048, 3, 3]]),
        ("resnet18", "cifar", 32, [[64, 32, 32], [128, 16, 16], [256, 8, 8], [512, 4, 4]]),
        ("resnext50_32x4d", "cifar", 64, [[256, 64, 64], [512, 32, 32], [1024, 16, 16], [2048, 8, 8]]),
    ],
)
def test_shapes_of_the_stages(name, stem, size, expected):
    with torch.device("meta"):
        network = resnet(10, name, stem)
    shapes = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda _, __, out: shapes.append(list(out.shape[1:])))
    assert network(torch.empty(2, 3, size, size, device="meta")).shape == (2, 10)
    assert shapes == expected


def test_cifar_stem():
    torch.manual_seed(0)
    network = resnet(10, "resnet18", "cifar")
    assert network.conv1.bias is None
    # N(0, 2 / (9 * 64)), as the other convolutions
    assert network.conv1.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        features = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        assert features.shape == (2, 64, 8, 8)
        assert network(images).shape == (2, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, "resnet18", "cifar"), "num_classes must be at least 2, got 1"),
        ((10, "resnet19", "cifar"), "name must be one of resnet18, resnet50, resnext50_32x4d, got resnet19"),
        ((10, "resnet18", "stl"), "stem must be imagenet or cifar, got stl"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet(*arguments)
