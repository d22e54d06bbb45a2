"""GLICO's networks, codes and interpolation."""

import math

import pytest
import torch

from chimeramix.generators.latent import LatentNetwork, decoder, latent_classifier, slerp, weak_classifier
from chimeramix.streams import RandomStream


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("latent_dim", "parameters"), [(128, 8_766_291), (512, 9_159_507)])
def test_parameters_at_32_pixels(latent_dim: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(LatentNetwork(32, latent_dim)) == parameters


@pytest.mark.parametrize(("size", "millions"), [(64, 14.8), (96, 78.5), (128, 52.1), (256, 193.8)])
def test_parameters_of_larger_images(size: int, millions: float) -> None:
    with torch.device("meta"):
        assert count(LatentNetwork(size, 128)) / 1e6 == pytest.approx(millions, abs=0.051)


@pytest.mark.parametrize("size", [32, 64, 96, 128])
def test_decoded_images(size: int) -> None:
    images = decoder(size, 16).eval()(torch.randn(2, 16))
    assert images.shape == (2, 3, size, size)
    assert images.min() >= 0
    assert images.max() <= 1


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size must be 32, 64, 96, 128 or 256, got 48"):
        decoder(48, 16)


def test_classifiers() -> None:
    assert weak_classifier(32, 10)(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert weak_classifier(96, 7)(torch.rand(2, 3, 96, 96)).shape == (2, 7)
    assert latent_classifier(128, 10)(torch.rand(2, 128)).shape == (2, 10)


def test_codes_lie_on_the_sphere_and_are_their_own() -> None:
    network = LatentNetwork(32, 64)
    labels = torch.arange(30) % 3
    network.make_codes(labels, 3, "random", RandomStream(0))
    torch.testing.assert_close(network.codes.norm(dim=1), torch.ones(30))
    cosines = network.codes @ network.codes.T - torch.eye(30)
    assert cosines.abs().max() < 0.6  # random directions in 64 dimensions: a standard deviation of 1/8
    with torch.no_grad():
        network.codes.mul_(3)
    network.project()
    torch.testing.assert_close(network.codes.norm(dim=1), torch.ones(30))


def test_codes_near_a_vertex_of_their_class() -> None:
    network = LatentNetwork(32, 128)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, -1])
    network.make_codes(labels, 3, "hypercube", RandomStream(0))
    cosines = (network.codes @ network.codes.T).detach()
    # Codes of a class differ by a hundredth of a side; two random vertices agree in a quarter of the coordinates.
    for i in range(6):
        for j in range(6):
            expected = 1.0 if i % 3 == j % 3 else 0.5
            assert cosines[i, j].item() == pytest.approx(expected, abs=0.01 if expected == 1 else 0.12)
    assert cosines[6, :6].abs().max() < 0.3


@pytest.mark.parametrize("noise", ["concatenated", "added", "none"])
def test_noise_makes_images_differ(noise: str) -> None:
    network = LatentNetwork(32, 8, noise=noise)  # type: ignore[arg-type]
    codes = torch.nn.functional.normalize(torch.randn(1, 8)).expand(2, 8)
    first, second = network.generate(codes, RandomStream(0))
    assert torch.equal(first, second) == (noise == "none")


def test_codes_come_from_the_file() -> None:
    trained = LatentNetwork(32, 8)
    trained.make_codes(torch.arange(5), 5, "random", RandomStream(0))
    fresh = LatentNetwork(32, 8)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.codes, trained.codes)
    codes = trained.codes.detach()
    torch.testing.assert_close(
        fresh.generate(codes, RandomStream(1)), trained.generate(codes, RandomStream(1)), rtol=0, atol=0
    )


def test_slerp_against_an_angle_in_the_plane() -> None:
    """Between two vectors 120 degrees apart, a share of 1/4 lies at 30 degrees, with unit length."""

    def at(degrees: float) -> torch.Tensor:
        return torch.tensor([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]])

    for share in (0.0, 0.1, 0.25, 0.5, 1.0):
        torch.testing.assert_close(slerp(at(0), at(120), torch.tensor([[share]])), at(120 * share), atol=1e-6, rtol=0)


def test_slerp_of_many_against_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.nn.functional.normalize(torch.randn(200, 16, generator=generator), dim=1) for _ in range(2))
    share = torch.rand(200, 1, generator=generator)
    angle = (u.double() * v.double()).sum(1, keepdim=True).acos()
    expected = (torch.sin((1 - share) * angle) * u + torch.sin(share * angle) * v) / torch.sin(angle)
    torch.testing.assert_close(slerp(u, v, share).double(), expected, atol=2e-6, rtol=0)


def test_slerp_of_parallel_vectors_is_no_nan() -> None:
    u = torch.nn.functional.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    torch.testing.assert_close(slerp(u, u, torch.full((50, 1), 0.3)), u)
    assert slerp(u, -u, torch.full((50, 1), 0.3)).isfinite().all()


@pytest.mark.parametrize("settings", [{"latent_dim": 1}, {"noise_size": 0}, {"noise": "loud"}, {"noise_sigma": -1.0}])
def test_bad_parameters_are_named(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        LatentNetwork(32, **settings)  # type: ignore[arg-type]
