"""What other people's training loops ask of mixers: choices, structures of batches, types, gradients."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from chimeramix.mixing import Chain, CutMix, FMix, Identity, MiAMix, Mixer, MixUp, OneOf, Sometimes, Structured
from chimeramix.mixing.blend import blend
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

ROOT = Path(__file__).resolve().parents[2]

LABELS = torch.arange(8) % 4


class Constant(Mixer):
    """Makes images of one value."""

    def __init__(self, value: float, probability: float = 1.0) -> None:
        super().__init__(4, probability, 0)
        self.value = value

    def compose(self, batch: Batch, rng: RandomStream) -> tuple[Tensor, Tensor]:
        return torch.full_like(batch.images, self.value), self.targets(batch.labels.flip(0))


class Always:
    """In the place of a distribution: draws one value."""

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.tensor(0.3)


def images(count: int = 8) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [v2.MixUp, v2.CutMix])
def test_gradients_are_torchvisions(kind: type) -> None:
    theirs = kind(num_classes=4)
    theirs._dist = Always()
    pixels, soft = images().requires_grad_(), torch.eye(4)[LABELS].requires_grad_()
    weight, target_weight = images(8).flip(0), torch.randn(8, 4, generator=torch.Generator().manual_seed(1))

    def gradients(mixed: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((mixed * weight).sum() + (targets * target_weight).sum(), [pixels, soft])

    torch.manual_seed(3)
    expected = gradients(*theirs(pixels, soft))
    torch.manual_seed(3)
    mask = torch.tensor(0.3).expand(8, 1, 1, 1)
    if kind is v2.CutMix:
        left, top, right, bottom = theirs.make_params([pixels])["box"]
        mask = torch.ones(8, 1, 16, 16)
        mask[..., top:bottom, left:right] = 0
    got = gradients(*blend(pixels, pixels.roll(1, 0), mask, soft, soft.roll(1, 0))[:2])
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(None, [1 / 3, 1 / 3, 1 / 3]), ({"a": 1, "b": 2, "c": 1}, [0.25, 0.5, 0.25]), ({"b": 3}, [0, 1, 0])],
)
def test_one_of_draws_each_mixer_as_often_as_its_weight(
    weights: dict[str, float] | None, expected: list[float]
) -> None:
    mixer = OneOf(4, {name: Constant(place) for place, name in enumerate("abc")}, weights, rng=0)
    drawn = [int(mixer(images(), LABELS)[0].mean()) for _ in range(2000)]
    shares = [drawn.count(place) / 2000 for place in range(3)]
    for share, probability in zip(shares, expected, strict=True):
        assert share == pytest.approx(probability, abs=5 * (probability * (1 - probability) / 2000) ** 0.5)


@pytest.mark.parametrize(
    ("mixers", "weights", "message"),
    [
        ({}, None, "at least one mixer"),
        ({"a": Constant(0)}, {"b": 1}, r"weights\.b: there is no such mixer among a"),
        ({"a": Constant(0)}, {"a": -1}, r"weights\.a must not be negative, got -1"),
        ({"a": Constant(0)}, {"a": 0}, "weights must not all be 0"),
    ],
)
def test_a_choice_that_cannot_be_made(mixers: Any, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OneOf(4, mixers, weights)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_sometimes_decides_for_each_sample(probability: float) -> None:
    mixer, pixels, count = Sometimes(Constant(9), probability, rng=0), images(), 0
    for _ in range(200):
        mixed, targets = mixer(pixels, LABELS)
        changed = (mixed == 9).flatten(1).all(1)
        assert torch.equal(mixed[~changed], pixels[~changed])
        assert torch.equal(targets, torch.where(changed[:, None], torch.eye(4)[LABELS.flip(0)], torch.eye(4)[LABELS]))
        count += int(changed.sum())
    assert count / 1600 == pytest.approx(probability, abs=5 * (probability * (1 - probability) / 1600) ** 0.5)


def test_sometimes_leaves_the_mixers_own_probability_in_force() -> None:
    mixed = [bool((Sometimes(Constant(9, 0), 1.0, rng=0)(images(), LABELS)[0] == 9).any()) for _ in range(20)]
    assert not any(mixed)


def by_key(batch: dict[str, Any]) -> Tensor:
    label: Tensor = batch["meta"]["label"]
    return label


def test_batches_of_any_structure_come_back_as_torchvision_returns_them() -> None:
    batch = {"image": images(), "meta": {"label": LABELS, "id": ["a"] * 8, "weight": torch.ones(8)}}
    theirs = v2.MixUp(num_classes=4, labels_getter=by_key)({"image": images(), "meta": {"label": LABELS}})
    made = Structured(MixUp(4, rng=0), by_key)(batch)
    assert made["image"].shape == theirs["image"].shape
    assert made["meta"]["label"].shape == theirs["meta"]["label"].shape
    torch.testing.assert_close((made["image"], made["meta"]["label"]), MixUp(4, rng=0)(images(), LABELS))
    assert made["meta"]["id"] == ["a"] * 8
    assert made["meta"]["weight"] is batch["meta"]["weight"]
    found = [Structured(MixUp(4, rng=0))(given) for given in ({"Labels": LABELS, "x": images()}, (images(), LABELS))]
    expected = MixUp(4, rng=0)(images(), LABELS)
    torch.testing.assert_close((found[0]["x"], found[0]["Labels"]), expected, rtol=0, atol=0)
    torch.testing.assert_close(tuple(found[1]), expected, rtol=0, atol=0)
    as_tuple = Structured(MixUp(4, rng=0), lambda inputs: inputs[1])(images(), LABELS, "name")
    assert as_tuple[2] == "name"
    torch.testing.assert_close(as_tuple[:2], (made["image"], made["meta"]["label"]))
    with pytest.raises(ValueError, match="the batch must hold images"):
        Structured(MixUp(4), by_key)({"meta": {"label": LABELS}})


def test_a_seed_per_batch_of_the_same_name_is_not_shared() -> None:
    """Two wrappers around one mixer continue its stream."""
    inner = MixUp(4, rng=0)
    one, two = Sometimes(inner, 1.0)(images(), LABELS), Sometimes(inner, 1.0)(images(), LABELS)
    assert not torch.equal(one[0], two[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: Chain(4, {"mixup": MixUp(4), "cutmix": CutMix(4)}, rng=seed),
        lambda seed: OneOf(4, {"mixup": MixUp(4), "cutmix": CutMix(4)}, rng=seed),
        lambda seed: Sometimes(Chain(4, {"mixup": MixUp(4)}), rng=seed),
    ],
    ids=["Chain", "OneOf", "Sometimes"],
)
def test_a_seed_is_that_of_the_mixers_within(make: Callable[[int], Mixer]) -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(made))
        made.append(make(seed)(images(), LABELS)[1])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_mixers_of_one_generator_draw_different_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (Chain(4, {"mixup": MixUp(4)}, rng=generator)(images(), LABELS)[1] for _ in range(2))
    assert not torch.equal(one, two)


def test_a_seed_of_ones_own_stays() -> None:
    inner, outer = MixUp(4, rng=3), MixUp(4, rng=3)
    assert torch.equal(Chain(4, {"mixup": inner}, rng=0)(images(), LABELS)[1], outer(images(), LABELS)[1])


def test_switches_of_a_structured_mixer() -> None:
    mixer = Structured(MixUp(4, rng=0))
    mixer.label_smoothing = 0.2
    mixer.mixup_enabled = False
    same, targets = mixer(images(), LABELS)
    assert torch.equal(same, images())
    torch.testing.assert_close(targets, torch.lerp(torch.eye(4)[LABELS], torch.full((4,), 0.25), 0.2))


def test_masks_are_no_images() -> None:
    masks = tv_tensors.Mask(torch.ones(len(LABELS), 1, 8, 8))
    made = Structured(MixUp(4, rng=0))({"mask": masks, "image": tv_tensors.Image(images()), "label": LABELS})
    assert torch.equal(made["image"], MixUp(4, rng=0)(images(), LABELS)[0])
    assert made["mask"] is masks


@pytest.mark.slow
def test_mypy_knows_what_a_call_returns(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("""
import torch
from chimeramix.mixing import CutMix, MiAMix, OneOf
images, labels = torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)
reveal_type(CutMix(3)(images, labels))
reveal_type(MiAMix(3)(images, labels, images))
reveal_type(OneOf(3, {"one": CutMix(3)})(images, labels))
reveal_type(CutMix(3).detailed(images, labels).mask)
""")
    # With the options and from the folder of `make types`, whose cache saves half a minute.
    command = [sys.executable, "-m", "mypy", str(tmp_path / "program.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    revealed = [line.split("type is ")[1].strip('"') for line in done.stdout.splitlines() if "Revealed" in line]
    pair = "tuple[torch._tensor.Tensor, torch._tensor.Tensor]"
    assert revealed == [pair, pair, pair, "torch._tensor.Tensor"], done.stdout + done.stderr


def test_wrappers_know_what_their_mixers_can() -> None:
    assert OneOf(4, {"one": CutMix(4), "two": FMix(4)}).only_cuts
    assert not OneOf(4, {"one": CutMix(4), "two": MiAMix(4)}).only_cuts
    assert Sometimes(Identity(4)).only_cuts
