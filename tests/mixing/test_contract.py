"""What holds for every mixer that stands where torchvision's `v2.MixUp` does."""

import copy
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from chimeramix.mixing import (
    AGMix,
    Chain,
    CutMix,
    FMix,
    GMix,
    GridMix,
    Identity,
    MiAMix,
    Mixer,
    MixUp,
    OneOf,
    SaliencyMix,
    Sometimes,
)
from chimeramix.mixing.blend import PairMixer

MAKE = {
    "identity": lambda rng: Identity(3, rng=rng),
    "mixup": lambda rng: MixUp(3, rng=rng),
    "mixup per batch": lambda rng: MixUp(3, per="batch", rng=rng),
    "cutmix": lambda rng: CutMix(3, rng=rng),
    "cutmix per batch": lambda rng: CutMix(3, per="batch", rng=rng),
    "fmix": lambda rng: FMix(3, rng=rng),
    "gridmix": lambda rng: GridMix(3, rng=rng),
    "gmix": lambda rng: GMix(3, rng=rng),
    "gmix exact": lambda rng: GMix(3, scale="exact", rng=rng),
    "agmix": lambda rng: AGMix(3, rng=rng),
    "agmix paper": lambda rng: AGMix(3, scale="paper", rng=rng),
    "saliencymix": lambda rng: SaliencyMix(3, probability=1, rng=rng),
    "miamix": lambda rng: MiAMix(3, rng=rng),
    "miamix sum": lambda rng: MiAMix(3, layers=[3], merge="sum", rng=rng),
    "miamix literal": lambda rng: MiAMix(3, ratio="literal", rng=rng),
    "one of": lambda rng: OneOf(3, {"first": MixUp(3, rng=rng), "second": FMix(3, rng=rng)}, rng=rng),
    "sometimes": lambda rng: Sometimes(CutMix(3, rng=rng), 0.9, rng=rng),
    # After MixUp images are still of one colour: after a mask with edges, areas would no longer say what is in them.
    "chain": lambda rng: Chain(3, {"first": MixUp(3, rng=rng), "second": MiAMix(3, rng=rng)}),
}
MIXING = [name for name in MAKE if name != "identity"]


@pytest.fixture(params=MAKE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def colours(count: int, height: int = 16, width: int = 16) -> tuple[Tensor, Tensor]:
    """Class k is the image whose channel k is 1 and whose other channels are 0: pixels say what they came from."""
    labels = torch.arange(count) % 3
    return torch.eye(3)[labels][:, :, None, None].expand(-1, -1, height, width).clone(), labels


def pictures(count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(count, 3, 16, 16, generator=generator)
    return images.to(dtype), torch.randint(3, (count,), generator=generator)


def mixer(name: str, seed: int = 0) -> Mixer:
    made: Mixer = MAKE[name](seed)
    return made


@pytest.mark.parametrize("size", [(16, 16), (11, 14)])
def test_label_mass_is_pixel_mass(name: str, size: tuple[int, int]) -> None:
    images, targets = mixer(name)(*colours(60, *size))
    torch.testing.assert_close(images.mean((2, 3)), targets, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", MIXING)
def test_most_samples_are_mixed_each_in_its_own_way(name: str) -> None:
    _, targets = mixer(name)(*colours(60))
    mixed = targets[(targets.max(1).values < 0.999)]
    assert len(mixed) > 5
    own = mixed.max(1).values.unique()
    assert len(own) <= 2 if "per batch" in name else len(own) > 5


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_batch_size(name: str, count: int) -> None:
    images, labels = pictures(count)
    mixed, targets = mixer(name)(images, labels)
    assert mixed.shape == images.shape
    assert targets.shape == (count, 3)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    assert (targets >= 0).all()
    if count == 1:
        torch.testing.assert_close(mixed, images)
        torch.testing.assert_close(targets, torch.eye(3)[labels])


def test_pixels_stay_between_both_images(name: str) -> None:
    images, labels = pictures(40)
    mixed, _ = mixer(name)(images, labels)
    assert (mixed <= images.amax(0) + 1e-6).all()
    assert (mixed >= images.amin(0) - 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_in_the_same_way(name: str, dtype: torch.dtype) -> None:
    images, labels = pictures(12)
    expected, expected_targets = mixer(name)(images, labels)
    mixed, targets = mixer(name)(images.to(dtype), labels)
    assert mixed.dtype == dtype
    assert targets.dtype == torch.float32
    # Saliency may see another peak in rounded pixels; the other methods do not look at them.
    if name != "saliencymix":
        rounding = 0.06 if dtype == torch.bfloat16 else 0.008
        torch.testing.assert_close(mixed.float(), expected, atol=rounding, rtol=0)
        torch.testing.assert_close(targets, expected_targets, atol=0.01, rtol=0)


def test_label_mass_is_pixel_mass_in_half_precision(name: str) -> None:
    images, labels = colours(60)
    mixed, targets = mixer(name)(images.bfloat16(), labels)
    # bfloat16 keeps 8 bits: each pixel is off by up to 1/512, in one direction for constant masks.
    torch.testing.assert_close(mixed.float().mean((2, 3)), targets, atol=1 / 256, rtol=0)


def test_inputs_are_left_alone(name: str) -> None:
    images, labels = pictures(8)
    before = images.clone(), labels.clone()
    mixed, targets = mixer(name)(images, labels)
    torch.testing.assert_close((images, labels), before, rtol=0, atol=0)
    assert not mixed.requires_grad
    assert not targets.requires_grad


def test_gradients_pass(name: str) -> None:
    """Given its draws a mixer is linear, y = M x, so the gradient of <y, g> is M' g, and <M x, g> = <x, M' g>."""
    images, labels = pictures(8)
    images, soft = images.double().requires_grad_(), torch.eye(3)[labels].requires_grad_()
    generator = torch.Generator().manual_seed(1)
    mixed, targets = mixer(name)(images, soft)
    for inputs, outputs in ((images, mixed), (soft, targets)):
        weight = torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)
        product = (outputs * weight).sum()
        (gradient,) = torch.autograd.grad(product, inputs)
        torch.testing.assert_close((inputs * gradient).sum(), product, rtol=1e-5, atol=1e-5)


def test_the_default_dtype_changes_nothing(name: str) -> None:
    batch = pictures(8)
    expected = mixer(name)(*batch)
    torch.set_default_dtype(torch.float64)
    try:
        made = mixer(name)(*batch)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(made, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mixup", "cutmix per batch", "fmix", "miamix"])
def test_a_generator_is_as_good_as_its_seed(name: str) -> None:
    generator = torch.Generator().manual_seed(4)
    torch.testing.assert_close(MAKE[name](generator)(*pictures(8)), mixer(name, 4)(*pictures(8)), rtol=0, atol=0)


def test_evaluation_and_switching_off_pass_the_batch(name: str) -> None:
    images, labels = pictures(8)
    evaluated, off = mixer(name).eval(), mixer(name)
    off.mixup_enabled = False
    for passing in (evaluated, off):
        mixed, targets = passing(images, labels)
        assert mixed is images
        assert torch.equal(targets, torch.eye(3)[labels])
    off.mixup_enabled = True
    torch.testing.assert_close(off(images, labels), mixer(name)(images, labels), rtol=0, atol=0)  # nothing was drawn


def test_label_smoothing(name: str) -> None:
    """As timm smooths class numbers: off = s / K, on = 1 - s + off, before mixing. Soft labels stay as they are."""
    images, labels = pictures(8)
    smooth = mixer(name)
    smooth.label_smoothing = 0.1
    on_off = torch.full((8, 3), 0.1 / 3).scatter_(1, labels[:, None], 1 - 0.1 + 0.1 / 3)
    torch.testing.assert_close(smooth(images, labels), mixer(name)(images, on_off))
    soft = torch.eye(3)[labels]
    smooth, plain = mixer(name), mixer(name)
    smooth.label_smoothing = 0.1
    torch.testing.assert_close(smooth(images, soft), plain(images, soft), rtol=0, atol=0)


def test_bytes_where_pixels_are_only_cut(name: str) -> None:
    images = torch.randint(256, (8, 3, 16, 16), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    labels = pictures(8)[1]
    made = mixer(name)
    if not made.only_cuts:
        with pytest.raises(ValueError, match="images must be a float tensor"):
            made(images, labels)
        return
    mixed, targets = made(images, labels)
    assert mixed.dtype == torch.uint8
    torch.testing.assert_close((mixed.float(), targets), mixer(name)(images.float(), labels), rtol=0, atol=0)


def test_details_are_those_of_the_call(name: str) -> None:
    images, labels = pictures(8)
    made = mixer(name)
    if not isinstance(made, PairMixer):
        pytest.skip("mixes no pairs of a batch itself")
    mixed, targets, mask, ratio, partner = made.detailed(images, labels)
    torch.testing.assert_close((mixed, targets), mixer(name)(images, labels), rtol=0, atol=0)
    torch.testing.assert_close(mixed, mask * images + (1 - mask) * images[partner])
    one_hot = torch.eye(3)[labels]
    torch.testing.assert_close(targets, ratio[:, None] * one_hot + (1 - ratio[:, None]) * one_hot[partner])
    other = made.eval().detailed(images, labels)
    for details in (mask, ratio), (other.mask, other.ratio):
        assert [part.shape for part in details] == [(8, 1, *images.shape[2:]), (8,)]
    assert (other.mask == 1).all()
    assert other.partner.tolist() == list(range(8))


def test_class_numbers_and_one_hot_rows_are_the_same(name: str) -> None:
    images, labels = pictures(8)
    torch.testing.assert_close(mixer(name)(images, labels), mixer(name)(images, torch.eye(3)[labels]), rtol=0, atol=0)


def test_soft_labels_are_mixed_as_they_are(name: str) -> None:
    """A mixer is linear in the labels: mixing A y is A times mixing y."""
    images, labels = pictures(8)
    smoothing = 0.9 * torch.eye(3) + 0.1 / 3
    _, targets = mixer(name)(images, torch.eye(3)[labels] @ smoothing)
    torch.testing.assert_close(targets, mixer(name)(images, labels)[1] @ smoothing)


def test_the_seed_decides_and_the_global_generator_does_not(name: str) -> None:
    batch = pictures(16)
    torch.manual_seed(1)
    first = mixer(name, 4)(*batch)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = mixer(name, 4)(*batch)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    if name in MIXING:
        assert not torch.equal(first[0], mixer(name, 5)(*batch)[0])


def test_a_saved_mixer_goes_on_where_it_was(name: str) -> None:
    batch = pictures(16)
    one = mixer(name)
    one(*batch)
    saved = copy.deepcopy(one.state_dict())
    expected = one(*batch)
    other = mixer(name, 9)
    other.load_state_dict(saved)
    torch.testing.assert_close(other(*batch), expected, rtol=0, atol=0)


def test_a_probability_of_zero_changes_nothing() -> None:
    images, labels = pictures(8)
    mixed, targets = CutMix(3, probability=0, rng=0)(images, labels)
    assert torch.equal(mixed, images)
    assert torch.equal(targets, torch.eye(3)[labels])


@pytest.mark.parametrize("one", [MixUp, CutMix, MiAMix])
@pytest.mark.parametrize("other", [MixUp, CutMix, MiAMix])
def test_two_unseeded_mixers_do_not_draw_the_same(one: type[Mixer], other: type[Mixer]) -> None:
    batch = colours(16)
    assert not torch.equal(one(3)(*batch)[1], other(3)(*batch)[1])


@pytest.mark.parametrize("rng", ["0", 0.5, True])
def test_what_is_no_source_of_numbers_is_refused(name: str, rng: object) -> None:
    with pytest.raises(ValueError, match=r"rng must be a seed, a torch\.Generator on the CPU or None"):
        MAKE[name](rng)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.int16), torch.zeros(2, dtype=torch.int64), "images must be a float"),
        (torch.zeros(3, 8, 8), torch.zeros(3, dtype=torch.int64), "images must be a float"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, dtype=torch.int64), r"labels must be int64 .* \[2\]"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int32), "labels must be int64"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 4), r"soft labels must be .*\[2, 3\], got \[2, 4\]"),
    ],
)
def test_what_is_no_batch_is_refused_in_a_line(name: str, images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        mixer(name)(images, labels)
    assert "\n" not in str(error.value)


def test_a_gpus_generator_is_refused(name: str) -> None:
    generator = Mock(spec=torch.Generator, device=torch.device("cuda", 0))
    with pytest.raises(ValueError, match="rng must be a generator on the CPU"):
        MAKE[name](generator)
