"""Parametric scattering against kymatio's coefficients, sums over pixels in float64, and finite differences."""

import cmath
import math

import pytest
import torch
from torch import Tensor, nn

from chimeramix.models import ParametricScattering
from chimeramix.models.scattering import Scattering

# kymatio 0.3.0, Scattering2D(J=2, shape=(16, 24)) of `picture()`: coefficient -> values at (0, 0), (1, 4), (3, 5).
# It takes pi for 3.1415 in one place, so values are 3e-5 larger than they should be.
KYMATIO = {
    0: [0.54142, -0.00991, -0.08182],
    1: [0.10336, 0.17653, 0.20728],
    5: [0.06365, 0.14042, 0.13413],
    9: [0.05867, 0.37111, 0.34786],
    14: [0.02598, 0.02376, 0.06335],
    17: [0.00234, 0.01482, 0.01424],
    40: [0.00271, 0.00331, 0.00801],
    80: [0.03121, 0.00425, 0.00545],
}


def picture() -> Tensor:
    """`[1, 1, 16, 24]`"""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    return (torch.sin(0.7 * x + 0.02 * x * y) + torch.cos(1.3 * y) * ((x > 9).float() - 0.3))[None, None]


def wavelet(angle: float, frequency: float, sigma: float, slant: float, size: int) -> Tensor:
    """`[size, size]` complex128 around the first pixel, periodic: the definition, pixel by pixel."""
    wave = torch.zeros(size, size, dtype=torch.complex128)
    envelope = torch.zeros(size, size, dtype=torch.float64)
    for y in range(-size, 2 * size):
        for x in range(-size, 2 * size):
            along = y * math.cos(angle) + x * math.sin(angle)
            across = x * math.cos(angle) - y * math.sin(angle)
            gaussian = math.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2))
            wave[y % size, x % size] += gaussian * cmath.exp(1j * frequency * along)
            envelope[y % size, x % size] += gaussian
    return (wave - wave.sum() / envelope.sum() * envelope) * slant / (2 * math.pi * sigma**2)


def test_kymatios_coefficients() -> None:
    coefficients = Scattering()(picture())[0]
    assert coefficients.shape == (81, 4, 6)
    for number, expected in KYMATIO.items():
        values = coefficients[number, [0, 1, 3], [0, 4, 5]].tolist()
        assert values == pytest.approx(expected, abs=4e-5)


def test_wavelets_start_as_the_tight_frame() -> None:
    scattering = Scattering()
    angle, frequency, sigma, slant = scattering.parameters_of_wavelets.detach()
    assert sorted(angle[:8].tolist()) == pytest.approx([k * math.pi / 8 for k in range(-4, 4)], abs=1e-6)
    assert frequency.tolist() == pytest.approx([0.75 * math.pi] * 8 + [0.375 * math.pi] * 8)
    assert sigma.tolist() == pytest.approx([0.8] * 8 + [1.6] * 8)
    assert (slant == 0.5).all()


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_wavelet_is_its_formula(number: int) -> None:
    scattering = Scattering()
    made = torch.fft.ifft2(scattering.wavelets(24, 24).flatten(0, 1)[number].detach().double())
    angle, frequency, sigma, slant = scattering.parameters_of_wavelets.detach().double()[:, number].tolist()
    expected = wavelet(angle, frequency, sigma, slant, 24)
    # A tail at exactly half the period is its own mirror image, which the real transform averages.
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
    assert expected.sum().abs() < 1e-12
    assert scattering.wavelets(24, 24)[..., 0, 0].abs().max() < 1e-6


def test_first_order_coefficients_are_sums_over_pixels() -> None:
    """|x * psi| * phi at every 4th pixel, with convolutions written as sums, for a wavelet of the finest scale."""
    image = picture()[:, :, :8, :8].double()
    scattering = Scattering()
    padded = torch.nn.functional.pad(image, [4] * 4, mode="reflect")[0, 0]
    size = len(padded)
    angle, frequency, sigma, slant = scattering.parameters_of_wavelets.detach().double()[:, 3].tolist()
    psi = wavelet(angle, frequency, sigma, slant, size)
    place = torch.arange(size)
    apart = torch.minimum(place, size - place).double()
    phi = torch.exp(-(apart[:, None] ** 2 + apart[None] ** 2) / (2 * 1.6**2)) / (2 * math.pi * 1.6**2)

    def convolve(signal: Tensor, kernel: Tensor) -> Tensor:
        shifted = [kernel[y, x] * signal.roll((y, x), (0, 1)) for y in range(size) for x in range(size)]
        return torch.stack(shifted).sum(0)

    expected = convolve(convolve(padded.to(torch.complex128), psi).abs(), phi)[4:12:4, 4:12:4]
    got = scattering(image.float())[0, 1 + 3].double()
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_parameters() -> None:
    for num_classes, expected in ((10, 22_597_232), (100, 22_781_642)):
        with torch.device("meta"):
            network = ParametricScattering(num_classes)
        learned = network.scattering.parameters_of_wavelets
        assert sum(parameter.numel() for parameter in network.parameters()) - learned.numel() == expected
        assert learned.numel() == 64
        assert [id(parameter) for parameter in network.without_weight_decay()] == [id(learned)]


@pytest.mark.parametrize(("scales", "orientations", "coefficients"), [(1, 4, 5), (2, 8, 81), (3, 2, 1 + 6 + 12)])
def test_number_of_coefficients(scales: int, orientations: int, coefficients: int) -> None:
    scattering = Scattering(scales, orientations)
    assert scattering.coefficients == coefficients
    assert scattering(torch.randn(1, 2, 32, 32)).shape == (1, 2 * coefficients, 32 // 2**scales, 32 // 2**scales)


def test_gradients_of_the_wavelets_are_finite_differences() -> None:
    torch.manual_seed(0)
    scattering = Scattering(2, 2)
    image, weights = torch.randn(2, 1, 8, 8), torch.randn(2, 9, 2, 2)
    (scattering(image) * weights).sum().backward()
    parameters = scattering.parameters_of_wavelets
    assert parameters.grad is not None
    for row in range(4):
        for column in range(4):
            values = []
            for step in (1e-2, -1e-2):
                with torch.no_grad():
                    parameters[row, column] += step
                    values.append((scattering(image) * weights).double().sum().item())
                    parameters[row, column] -= step
            expected = (values[0] - values[1]) / 2e-2
            assert parameters.grad[row, column].item() == pytest.approx(expected, rel=0.02, abs=2e-3)


def test_wavelets_that_are_not_learned() -> None:
    network = ParametricScattering(3, learnable=False)
    assert not network.scattering.parameters_of_wavelets.requires_grad


def test_coefficients_stay_in_float32_under_autocast() -> None:
    network = ParametricScattering(3).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network.scattering(images), Scattering()(images))
        assert network(images).shape == (2, 3)


@pytest.mark.parametrize(("height", "width"), [(30, 32), (32, 33), (4, 32)])
def test_sizes_that_will_not_do(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="multiples of 4, above 4"):
        Scattering()(torch.zeros(1, 3, height, width))


def test_bad_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="num_classes"):
        ParametricScattering(1)
    with pytest.raises(ValueError, match="scales"):
        Scattering(0)


def test_channels_narrow_the_network_behind_the_wavelets() -> None:
    narrow = ParametricScattering(num_classes=10, channels=32)
    widths = [layer.num_features for layer in narrow.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert (widths[2], widths[3], widths[-1]) == (32, 64, 128)
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        ParametricScattering(num_classes=10, channels=0)
