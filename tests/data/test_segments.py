import numpy as np
import pytest
import torch
from skimage.segmentation import felzenszwalb

from chimeramix.data import segments
from chimeramix.data.digits import Digits
from chimeramix.data.segments import segment

HALF = [0.5, 0.5, 0.5]
SETTINGS = {"scale": 60, "sigma": 0.8, "min_size": 60}


@pytest.fixture(scope="module")
def images():
    return Digits("digits", 32, HALF, HALF).train().read(range(6))


def run(images, cache_dir=None, workers=1, **changes):
    return segment(images, HALF, HALF, **(SETTINGS | changes), cache_dir=cache_dir, workers=workers)


@pytest.fixture
def calls(monkeypatch):
    """Counts computed chunks."""
    computed = []
    original = segments._segment_chunk
    monkeypatch.setattr(segments, "_segment_chunk", lambda *a, **k: computed.append(1) or original(*a, **k))
    return computed


def test_are_those_of_scikit_image_on_minus_one_to_one(images):
    labels = run(images)
    assert labels.shape == (6, 32, 32)
    assert labels.dtype == torch.int16
    for found, image in zip(labels, images, strict=True):
        pixels = image.permute(1, 2, 0).numpy().astype(np.float32) / 127.5 - 1
        assert np.array_equal(found.numpy(), felzenszwalb(pixels, channel_axis=-1, **SETTINGS))
        assert found.unique().tolist() == list(range(int(found.max()) + 1))


def test_the_range_of_the_pixels_matters(images):
    as_minus_one_to_one = run(images)
    as_zero_to_one = segment(images, [0.0] * 3, [1.0] * 3, **SETTINGS, cache_dir=None, workers=1)
    assert not torch.equal(as_minus_one_to_one, as_zero_to_one)


def test_the_cache_is_used_and_tells_settings_and_pixels_apart(images, tmp_path, calls):
    first = run(images, tmp_path / "new")
    assert torch.equal(run(images, tmp_path / "new"), first)
    assert len(calls) == 1
    finer = run(images, tmp_path / "new", scale=10, min_size=10)
    assert finer.max() > first.max()
    run(images.flip(0), tmp_path / "new")
    assert len(calls) == 3
    assert len(list((tmp_path / "new").iterdir())) == 3  # and no leftovers of writing


@pytest.mark.parametrize("keep", [0, 4, 100, -10])
def test_a_truncated_cache_is_made_anew(images, tmp_path, calls, keep):
    first = run(images, tmp_path)
    (cache,) = tmp_path.iterdir()
    whole = cache.read_bytes()
    cache.write_bytes(whole[:keep])
    assert torch.equal(run(images, tmp_path), first)
    assert torch.equal(run(images, tmp_path), first)
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_costs_a_warning(images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="superpixels can't be kept"):
        labels = run(images, tmp_path / "file")
    assert torch.equal(labels, run(images))


def test_processes_keep_the_order(images, monkeypatch):
    alone = run(images)
    monkeypatch.setattr(segments, "POOL_FROM", 3)
    monkeypatch.setattr(segments, "CHUNK", 4)
    assert torch.equal(run(images, workers=2), alone)


def test_no_images():
    assert run(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 32, 32)


def test_refuses_floats(images):
    with pytest.raises(ValueError, match="uint8"):
        run(images.float())
