"""AutoAugment and TrivialAugment: what they draw, and whole policies against torchvision."""

import itertools
import math
from collections import Counter, defaultdict
from typing import Literal

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torchvision.transforms import v2

from chimeramix.augment.compose import Compose
from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.augment.operations import OPERATIONS
from chimeramix.augment.policies import POLICIES, AutoAugment, TrivialAugment
from chimeramix.config.compose import compose_settings
from chimeramix.runs import build
from chimeramix.streams import RandomStream
from tests.augment.by_torchvision import (
    MOVING,
    NAMES,
    all_kinds_of_images,
    assert_same_pixels,
    decided,
    torch_fuses,
)

Learned = Literal["cifar10", "imagenet"]
ENUMS = {"cifar10": v2.AutoAugmentPolicy.CIFAR10, "imagenet": v2.AutoAugmentPolicy.IMAGENET}


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize(
    ("ours", "theirs", "levels"),
    [
        (TrivialAugment(), v2.TrivialAugmentWide, 31),
        (TrivialAugment(13), v2.TrivialAugmentWide, 13),
        (AutoAugment("cifar10"), v2.AutoAugment, 10),
    ],
)
def test_magnitudes_are_torchvisions(
    ours: TrivialAugment | AutoAugment, theirs: type[v2.Transform], levels: int, size: int
) -> None:
    space = theirs._AUGMENTATION_SPACE
    magnitudes = ours.magnitudes(size)
    drawn = NAMES[: NAMES.index("Invert")] if theirs is v2.TrivialAugmentWide else NAMES[1:]
    assert sorted(space) == sorted(drawn)
    for name, (function, signed) in space.items():
        expected = function(levels, size, size)
        assert signed == OPERATIONS[name].signed
        assert (expected is None) == (name not in magnitudes)
        assert expected is None or magnitudes[name].tolist() == expected.tolist()


@pytest.mark.parametrize("name", POLICIES)
def test_learned_pairs_are_torchvisions(name: Learned) -> None:
    assert POLICIES[name] == v2.AutoAugment(ENUMS[name])._policies
    assert len(POLICIES[name]) == 25


def replay(transform: v2.Transform, image: Tensor, numbers: list[float], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """torchvision's transform with given numbers in place of its random ones."""
    left = iter(numbers)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda high, shape: torch.tensor(next(left)))
        patch.setattr(torch, "rand", lambda shape: torch.tensor(next(left)))
        result: Tensor = transform(image)
    assert next(left, None) is None
    return result


def test_trivialaugment_replayed_by_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    images = all_kinds_of_images(32).repeat(40, 1, 1, 1)
    ours, nothing = TrivialAugment()(images, None, RandomStream(5))
    assert nothing is None
    ((operation, level, negative),) = TrivialAugment().draw(len(images), RandomStream(5).host)  # the same draws again
    theirs = v2.TrivialAugmentWide()
    names = list(theirs._AUGMENTATION_SPACE)
    magnitudes = TrivialAugment().magnitudes(32)
    expected, where = [], []
    for image, code, k, minus in zip(images, operation.tolist(), level.tolist(), negative.tolist(), strict=True):
        function, signed = theirs._AUGMENTATION_SPACE[NAMES[code]]
        numbers = [names.index(NAMES[code]), k, 0.1 if minus else 0.9]
        used = 1 if function(2, 1, 1) is None else 3 if signed else 2
        expected.append(replay(theirs, image, numbers[:used], monkeypatch))
        magnitude = magnitudes[NAMES[code]][k].item() if NAMES[code] in magnitudes else 0.0
        where.append(decided(NAMES[code], -magnitude if minus else magnitude, 32))
    assert set(operation.tolist()) == set(range(14))
    assert_same_pixels(ours, torch.stack(expected), torch.stack(where)[:, None])


@pytest.mark.skipif(
    not torch_fuses(), reason="torchvision rounds twice on this CPU; a second operation makes more of it"
)
@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_replayed_by_torchvision(name: Learned, monkeypatch: pytest.MonkeyPatch) -> None:
    images = all_kinds_of_images(32).repeat(40, 1, 1, 1)
    ours, _ = AutoAugment(name)(images, None, RandomStream(6))
    host = RandomStream(6).host  # the same draws again
    pairs = torch.randint(25, (len(images),), generator=host)
    chances, signs = (torch.rand(len(images), 2, generator=host) for _ in range(2))
    theirs, magnitudes = v2.AutoAugment(ENUMS[name]), AutoAugment(name).magnitudes(32)
    expected, clear = [], []
    for image, pair, chance, sign in zip(images, pairs.tolist(), chances.tolist(), signs.tolist(), strict=True):
        numbers: list[float] = [pair]
        where = torch.ones(32, 32, dtype=torch.bool)
        for turn, (operation, probability, level) in enumerate(POLICIES[name][pair]):
            numbers.append(chance[turn])
            if chance[turn] <= probability and OPERATIONS[operation].signed:
                numbers.append(sign[turn])
            if operation in MOVING:  # the sign does not matter to it
                where &= decided(operation, magnitudes[operation][level or 0].item(), 32)
        expected.append(replay(theirs, image, numbers, monkeypatch))
        clear.append(where.all())  # the other operation may spread a pixel over the image
    chosen = torch.stack(clear)
    assert chosen.float().mean() > 0.9
    assert_same_pixels(ours[chosen], torch.stack(expected)[chosen])


def test_trivialaugment_draws_uniformly() -> None:
    ((operation, level, negative),) = TrivialAugment().draw(200_000, RandomStream(0).host)
    together = (operation * 31 + level) * 2 + negative
    counts = together.bincount(minlength=14 * 31 * 2)
    assert len(counts) == 14 * 31 * 2
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_draws_as_its_table_says(name: Learned) -> None:
    """Which operations at which levels come together, one or both being left out or not."""
    count = 100_000
    first, second = AutoAugment(name).draw(count, RandomStream(0).host)
    drawn = Counter(
        tuple((NAMES[code], k) if NAMES[code] != "Identity" else None for code, k in (one, two))
        for one, two in zip(
            zip(first.operation.tolist(), first.level.tolist(), strict=True),
            zip(second.operation.tolist(), second.level.tolist(), strict=True),
            strict=True,
        )
    )
    expected: dict[tuple[tuple[str, int] | None, ...], float] = defaultdict(float)
    for pair in POLICIES[name]:
        for applied in itertools.product((True, False), repeat=2):
            steps = zip(applied, pair, strict=True)
            outcome = tuple((step, level or 0) if done else None for done, (step, _, level) in steps)
            chances = (p if done else 1 - p for done, (_, p, _) in zip(applied, pair, strict=True))
            expected[outcome] += count / 25 * math.prod(chances)
    possible = [outcome for outcome, often in expected.items() if often > 0]
    assert set(drawn) <= set(possible)
    assert chisquare([drawn[outcome] for outcome in possible], [expected[o] for o in possible]).pvalue > 0.01
    signs = torch.stack([first.negative, second.negative, first.negative ^ second.negative]).float().mean(1)
    assert torch.all((signs - 0.5).abs() < 0.01)


@pytest.mark.parametrize("policy", [TrivialAugment(), AutoAugment("cifar10"), AutoAugment("imagenet")])
class TestWholePolicies:
    def test_same_seed_same_bits(self, policy: TrivialAugment | AutoAugment) -> None:
        images = all_kinds_of_images(32).repeat(5, 1, 1, 1)
        segments = torch.randint(99, (len(images), 32, 32), dtype=torch.int16)
        copies = images.clone(), segments.clone()
        once, moved = policy(images, segments, RandomStream(3))
        again, moved_again = policy(images, segments, RandomStream(3))
        alone, _ = policy(images, None, RandomStream(3))
        other, _ = policy(images, segments, RandomStream(4))
        assert moved is not None
        assert moved_again is not None
        assert torch.equal(once, again)
        assert torch.equal(moved, moved_again)
        assert torch.equal(once, alone)
        assert not torch.equal(once, other)
        assert not torch.equal(moved, segments)
        assert torch.equal(images, copies[0])  # what was handed in stays
        assert torch.equal(segments, copies[1])

    def test_every_sample_keeps_its_own_segments(self, policy: TrivialAugment | AutoAugment) -> None:
        segments = torch.arange(500)[:, None, None].expand(500, 8, 8)
        _, moved = policy(torch.zeros(500, 3, 8, 8, dtype=torch.uint8), segments, RandomStream(0))
        assert moved is not None
        assert torch.equal(moved, segments)

    @pytest.mark.parametrize("seed", range(20))
    def test_a_batch_of_one(self, policy: TrivialAugment | AutoAugment, seed: int) -> None:
        images, segments = policy(all_kinds_of_images(32)[:1], torch.zeros(1, 32, 32), RandomStream(seed))
        assert segments is not None
        assert (images.shape, segments.shape) == ((1, 3, 32, 32), (1, 32, 32))

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_gives_the_same_pixels_without_waiting(self, policy: TrivialAugment | AutoAugment) -> None:
        images = all_kinds_of_images(32).repeat(40, 1, 1, 1)
        segments = torch.randint(99, (len(images), 32, 32), dtype=torch.int16)
        on_cpu, moved_on_cpu = policy(images, segments, RandomStream(0))
        rng, there = RandomStream(0, "cuda"), (images.cuda(), segments.cuda())
        policy(*there, RandomStream(0, "cuda"))  # the first call may set up libraries
        torch.cuda.set_sync_debug_mode("error")
        try:
            on_cuda, moved_on_cuda = policy(*there, rng)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert moved_on_cpu is not None
        assert moved_on_cuda is not None
        assert torch.equal(on_cuda.cpu(), on_cpu)
        assert torch.equal(moved_on_cuda.cpu(), moved_on_cpu)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 8, 9, dtype=torch.uint8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_images_are_refused(images: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"^TrivialAugment takes square RGB images .* of uint8, got torch\.\S+ \[.*\]$"
    ):
        TrivialAugment()(images, None, RandomStream(0))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^num_magnitude_bins must be at least 2, got 1$"):
        TrivialAugment(1)
    with pytest.raises(ValueError, match=r"^policy must be cifar10 or imagenet, got svhn$"):
        AutoAugment("svhn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^steps\.policy must be an augmentation, got None$"):
        Compose({"policy": None, "flip_crop": FlipCrop()})  # type: ignore[dict-item]


def test_composed_steps_run_in_order() -> None:
    images = all_kinds_of_images(32)
    segments = torch.randint(99, (len(images), 32, 32))
    policy, flip_crop = TrivialAugment(), FlipCrop()
    ours, moved = Compose({"policy": policy, "flip_crop": flip_crop})(images, segments, RandomStream(1))
    rng = RandomStream(1)
    expected, expected_segments = flip_crop(*policy(images, segments, rng), rng)
    assert moved is not None
    assert expected_segments is not None
    assert torch.equal(ours, expected)
    assert torch.equal(moved, expected_segments)


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        (["augment=trivialaugment"], TrivialAugment),
        (["augment=autoaugment", "augment.steps.policy.policy=imagenet"], AutoAugment),
    ],
)
def test_configurations(words: list[str], policy: type[TrivialAugment] | type[AutoAugment]) -> None:
    config = compose_settings("classifier", ["+dataset=cifair10", "recipe.flip=0.25", *words]).config
    made = build.part(config, "augment")
    assert [type(step) for step in made.steps.values()] == [policy, FlipCrop]
    assert made.steps["flip_crop"].flip == 0.25
    images, _ = made(all_kinds_of_images(32), None, RandomStream(0))
    assert (images.dtype, images.shape) == (torch.uint8, (7, 3, 32, 32))
