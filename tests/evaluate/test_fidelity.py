"""KID, FID, precision and recall against their formulas in float64, and against torch-fidelity's own command."""

import urllib.error
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from chimeramix.errors import RunFailure, UserError
from chimeramix.evaluate.fidelity import Extractor, Fidelity, fidelity
from chimeramix.evaluate.options import EXTRACTOR as DEFAULT
from tests.evaluate.extractor import NAME, by_hand

CPU = torch.device("cpu")


def noise(count: int, seed: int, darkest: int = 0) -> Tensor:
    """`[count, 3, 8, 8]` uint8, of which every image has a brightness of its own."""
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256 - darkest, (count, 3, 8, 8), generator=rng)
    return (darkest + pixels * torch.rand(count, 1, 1, 1, generator=rng)).to(torch.uint8)


def figures(images: Tensor, real: Tensor, seed: int = 0) -> Fidelity:
    extractor = Extractor(NAME, None, CPU)
    return fidelity(extractor(images), extractor(real), seed)


def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float((x @ y / len(x) + 1) ** 3)


def unbiased(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The squared maximum mean discrepancy by its definition, a loop over pairs (Gretton et al. 2012, equation 3)."""
    m = len(first)
    within = sum(kernel(x, y) for each in (first, second) for x, y in combinations(each, 2)) * 2 / (m * (m - 1))
    return within - 2 * sum(kernel(x, y) for x in first for y in second) / m**2


def test_kid_is_the_mean_of_unbiased_estimates_over_subsets() -> None:
    images, real = noise(12, 0, darkest=60), noise(11, 1)
    found = figures(images, real, seed=5)
    assert found.kid_subset == 5  # half of the 11
    rng = np.random.RandomState(5)
    first, second = by_hand(images).numpy(), by_hand(real).numpy()
    estimates = [
        unbiased(first[rng.choice(12, 5, replace=False)], second[rng.choice(11, 5, replace=False)]) for _ in range(100)
    ]
    assert found.kid == pytest.approx(np.mean(estimates), rel=1e-4)
    assert found.kid_std == pytest.approx(np.std(estimates), rel=1e-4)
    assert found.interval == pytest.approx(
        (np.mean(estimates) - 1.96 * np.std(estimates), np.mean(estimates) + 1.96 * np.std(estimates)), rel=1e-3
    )


def test_the_interval_is_no_narrower_than_the_estimate_scatters() -> None:
    """Over 60 draws of both sets: the spread over subsets is at least the scatter of their mean, less a tenth for
    chance."""
    found = [figures(noise(40, seed, darkest=30), noise(40, 1000 + seed)) for seed in range(60)]
    scatter = np.std([each.kid for each in found])
    assert np.mean([each.kid_std for each in found]) > 0.9 * scatter


def test_fid_is_the_distance_of_two_gaussians() -> None:
    images, real = noise(40, 0, darkest=60), noise(30, 1)
    first, second = by_hand(images).numpy(), by_hand(real).numpy()
    root = scipy.linalg.sqrtm(np.cov(first.T) @ np.cov(second.T)).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(np.cov(first.T) + np.cov(second.T) - 2 * root)
    found = figures(images, real)
    assert found.fid == pytest.approx(expected, rel=1e-4)
    assert found.fid_dimensions == 7


def test_precision_and_recall_count_neighbourhoods() -> None:
    images, real = noise(30, 0, darkest=60), noise(25, 1) // 2

    def inside(points: NDArray[np.float64], others: NDArray[np.float64]) -> float:
        """Share of the points within the third neighbour's distance of one of the others."""
        radius = [sorted(float(np.linalg.norm(o - p)) for p in others)[3] for o in others]
        hits = [any(np.linalg.norm(p - o) <= r for o, r in zip(others, radius, strict=True)) for p in points]
        return sum(hits) / len(points)

    first, second = by_hand(images).numpy(), by_hand(real).numpy()
    found = figures(images, real)
    assert found.precision == pytest.approx(inside(first, second))
    assert found.recall == pytest.approx(inside(second, first))
    assert 0 < inside(first, second) < 1
    assert 0 < inside(second, first) < 1


class Images(Dataset[Tensor]):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Tensor:
        return self.images[place]


def test_figures_are_those_of_torch_fidelity() -> None:
    images, real = noise(30, 0, darkest=60), noise(30, 1)
    theirs = torch_fidelity.calculate_metrics(
        input1=Images(images),
        input2=Images(real),
        **dict.fromkeys(("kid", "fid", "prc"), True),
        **dict.fromkeys(("cuda", "verbose", "cache"), False),
        feature_extractor=NAME,
        kid_subset_size=15,
        rng_seed=3,
        save_cpu_ram=True,  # no processes for reading
    )
    ours = figures(images, real, seed=3)
    assert ours.kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours.kid_std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    assert ours.fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    assert (ours.precision, ours.recall) == (theirs["precision"], theirs["recall"])


@pytest.mark.parametrize(("count", "known"), [(1, ()), (3, ("fid",)), (4, ("fid", "kid", "precision"))])
def test_too_few_images_have_no_figures(count: int, known: tuple[str, ...]) -> None:
    found = figures(noise(count, 0), noise(50, 1))
    for name in ("fid", "kid", "precision"):
        assert (getattr(found, name) is not None) == (name in known), name


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    weights = torch.randn(7, 48, generator=torch.Generator().manual_seed(9))
    torch.save(weights, tmp_path / "weights.pth")
    found = Extractor(NAME, tmp_path / "weights.pth", CPU)(noise(3, 0))
    assert found.keys() == {"kid", "fid", "prc"}
    torch.testing.assert_close(found["fid"], by_hand(noise(3, 0), weights), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("projection", None, "--extractor projection: unknown; there are .*projections"),
        (NAME, None, "absent: no such file"),
        (DEFAULT, b"root:x:0:0:root", r"not the weights of inception-v3-compat .*fetch https://.*\.pth"),
        (DEFAULT, b"", "not the weights of inception-v3-compat"),
        ("dinov2-vit-s-14", b"", "dinov2-vit-s-14 takes no file of weights"),
    ],
)
def test_an_extractor_that_will_not_do(name: str, content: bytes | None, told: str, tmp_path: Path) -> None:
    weights = tmp_path / ("absent" if content is None else "weights.pth")
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(UserError, match=told):
        Extractor(name, weights, CPU)


def test_weights_that_hold_a_program_are_not_run(tmp_path: Path) -> None:
    torch.save({"weights": Path("/")}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="not the weights"):
        Extractor(DEFAULT, tmp_path / "weights.pth", CPU)


def test_without_a_network_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", unreachable)
    told = r"could not be downloaded .*fetch https://github\.com/.*\.pth .*--weights FILE.*--no-fidelity"
    with pytest.raises(RunFailure, match=told):
        Extractor(DEFAULT, None, CPU)
