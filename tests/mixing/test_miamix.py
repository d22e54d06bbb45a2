"""MiAMix against a loop over samples, and its ratios against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from chimeramix.mixing import MaskAugmentation, MiAMix
from chimeramix.mixing.cutmix import BoxMask
from chimeramix.mixing.miamix import default_methods
from chimeramix.mixing.mixup import ConstantMask
from chimeramix.streams import RandomStream
from chimeramix.types import Batch

PLAIN = MaskAugmentation(0, 0)


class LeftMask:
    """The partner shows in the left part of the image, which is 1 - ratio wide."""

    augmentable = True

    def check(self, size: int) -> None: ...

    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        width = partner.shape[-1]
        columns = (torch.arange(width) + 0.5) / width
        return (columns >= 1 - ratio[:, None]).float()[:, None, None].expand(-1, 1, partner.shape[-2], -1)


class TopMask(LeftMask):
    def __call__(self, ratio: Tensor, partner: Tensor, rng: RandomStream) -> Tensor:
        return super().__call__(ratio, partner, rng).mT


def colours(count: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count)
    return torch.eye(count)[:, :, None, None].expand(-1, -1, 16, 16).clone(), labels


def weights_of_the_first(**settings: object) -> Tensor:
    """Label weight of the first image in 20,000 draws; the batch never pairs an image with itself by much."""
    labels = torch.eye(2)[(torch.arange(20000) < 19999).long()]
    mixer = MiAMix(2, self_mixing=0, augmentation=PLAIN, rng=0, **settings)  # type: ignore[arg-type]
    images = torch.zeros(20000, 1, 4, 4)
    mask, ratio = mixer.sample_masks(images, mixer.stream(images.device))
    assert labels.shape == (20000, 2)
    return ratio if settings.get("label") == "original" else mask.mean((1, 2, 3))


@pytest.mark.parametrize("merge", ["product", "sum"])
@pytest.mark.parametrize("ratio", ["hole", "literal"])
@pytest.mark.parametrize("label", ["merged", "original"])
def test_against_a_loop_over_samples(merge: str, ratio: str, label: str) -> None:
    methods = {"mixup": ConstantMask(), "left": LeftMask(), "top": TopMask()}
    mixer = MiAMix(
        20,
        methods,
        {"mixup": 1, "left": 2, "top": 1},
        layers=[1, 3],
        merge=merge,  # type: ignore[arg-type]
        ratio=ratio,  # type: ignore[arg-type]
        label=label,  # type: ignore[arg-type]
        augmentation=PLAIN,
        rng=0,
    )
    images, labels = colours(20)
    seen: dict[str, Tensor] = {}
    partners, layers, kinds = mixer._partners, mixer._layers, mixer._kinds

    def kept_partners(count: int, rng: RandomStream) -> Tensor:
        seen["order"] = partners(count, rng)
        return seen["order"]

    def kept_layers(count: int, rng: RandomStream) -> tuple[Tensor, Tensor]:
        seen["number"], seen["parts"] = layers(count, rng)
        return seen["number"], seen["parts"]

    def kept_kinds(count: int, rng: RandomStream) -> Tensor:
        seen["kinds"] = kinds(count, rng)
        return seen["kinds"]

    mixer._partners, mixer._layers, mixer._kinds = kept_partners, kept_layers, kept_kinds  # type: ignore[method-assign]
    mixed, targets = mixer(images, labels)

    for i in range(20):
        j = seen["order"][i].item()
        weights = []  # of the partner, layer by layer
        for layer in range(int(seen["number"][i])):
            part = seen["parts"][i, layer].item()
            share = part if ratio == "hole" else 1 - part
            weight = torch.full((16, 16), share)
            kind = seen["kinds"][3 * i + layer].item()
            if kind > 0:
                edge = sum((column + 0.5) / 16 < share for column in range(16))
                weight = torch.zeros(16, 16)
                if kind == 1:
                    weight[:, :edge] = 1
                else:
                    weight[:edge] = 1
            weights.append(weight)
        mask = torch.stack([1 - weight for weight in weights]).prod(0)
        if merge == "sum":
            mask = 1 - torch.stack(weights).sum(0).clamp(max=1)
        expected = mask * images[i] + (1 - mask) * images[j]
        torch.testing.assert_close(mixed[i], expected)
        total = seen["parts"][i].sum().item()
        drawn = 1 - total if ratio == "hole" else total
        expected_weight = drawn if label == "original" else mask.mean().item()
        assert targets[i, i].item() == pytest.approx(1 if i == j else expected_weight, abs=1e-5)


def test_one_layer_is_a_beta_draw() -> None:
    """k = 1: Dirichlet(alpha, alpha) is Beta(alpha, alpha), uniform for alpha = 1."""
    weights = weights_of_the_first(weights={"mixup": 1}, layers=[1])
    quantiles = weights.quantile(torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9]))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9]), atol=0.012, rtol=0)


@pytest.mark.parametrize(("layers", "mean"), [(2, 0.25), (3, 1 / 6), (4, 0.125)])
def test_parts_of_a_dirichlet_draw(layers: int, mean: float) -> None:
    """Each part has mean 1 / (2k) and variance a (2ka - a) / ((2ka)^2 (2ka + 1)) for alpha = a."""
    for alpha in (0.5, 1.0, 2.0):
        mixer = MiAMix(2, layers=[layers], alpha=alpha, rng=0)
        number, parts = mixer._layers(20000, mixer.stream(torch.device("cpu")))
        assert (number == layers).all()
        total = 2 * layers * alpha
        variance = alpha * (total - alpha) / (total**2 * (total + 1))
        assert parts.mean(0).tolist() == pytest.approx([mean] * layers, abs=0.005)
        assert parts.var(0).tolist() == pytest.approx([variance] * layers, rel=0.06)
        assert parts.sum(1).mean().item() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Independent parts: two MixUp layers leave E[(1-a)(1-b)] with (a, b, c) ~ Dirichlet(1, 1, 2)
        # = 1 - 2 * 1/4 + E[ab] = 1/2 + 1/20.
        ({"layers": [2]}, 0.55),
        # The literal reading leaves E[ab] = 1/20.
        ({"layers": [2], "ratio": "literal"}, 0.05),
        # The sum of the partner's weights, never above 1 here, leaves 1 - 2 * 1/4.
        ({"layers": [2], "merge": "sum"}, 0.5),
        ({"layers": [2], "label": "original"}, 0.5),
        ({"layers": [1, 2]}, 0.525),
    ],
)
def test_mean_weight_of_mixup_layers(settings: dict[str, object], expected: float) -> None:
    weights = weights_of_the_first(weights={"mixup": 1}, **settings)
    assert weights.mean().item() == pytest.approx(expected, abs=0.006)


def test_the_literal_reading_hardly_mixes() -> None:
    weights = weights_of_the_first(weights={"mixup": 1}, layers=[2], ratio="literal")
    assert (weights < 0.05).float().mean().item() == pytest.approx(0.61, abs=0.06)


def test_methods_of_ones_own_need_no_weights() -> None:
    own = MiAMix(2, {"box": BoxMask(), "own": ConstantMask()}, rng=0)
    assert own._edges == [0.5]
    assert MiAMix(2, default_methods())._edges == MiAMix(2)._edges


def test_methods_come_as_often_as_their_weights_say() -> None:
    mixer = MiAMix(2, rng=0)
    kinds = mixer._kinds(60000, mixer.stream(torch.device("cpu")))
    assert (kinds.bincount() / 60000).tolist() == pytest.approx([2 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6], abs=0.007)
    assert MiAMix(2, weights={"gmix": 1, "cutmix": 0}).methods[0].scale == "exact"  # type: ignore[attr-defined]


@pytest.mark.parametrize("self_mixing", [0.0, 0.1, 1.0])
def test_self_mixing_keeps_the_label_and_mixes_two_views(self_mixing: float) -> None:
    count = 400
    labels = torch.arange(count)
    images = torch.zeros(count, 3, 12, 12)
    mixer = MiAMix(count, weights={"mixup": 1}, layers=[1], self_mixing=self_mixing, rng=0)
    mixed, targets = mixer(images, labels, images + 1)
    own = targets[labels, labels]
    # A random permutation has one fixed point on average.
    assert (own == 1).float().mean().item() == pytest.approx(self_mixing, abs=0.04)
    # Pixels are 0 in the first views and 1 in the second: what was mixed shows, also with itself.
    assert (mixed.mean((1, 2, 3)) > 0.001).float().mean() > 0.98
    other = own < 1
    torch.testing.assert_close(mixed.mean((1, 2, 3))[other], 1 - own[other])


def test_second_views_come_from_the_run() -> None:
    def views(index: Tensor) -> Batch:
        return Batch(torch.ones(len(index), 3, 8, 8) * (10 + index.view(-1, 1, 1, 1)), index, index)

    labels = torch.arange(5)
    batch = Batch(torch.zeros(5, 3, 8, 8), labels, index=labels)
    mixer = MiAMix(5, weights={"mixup": 1}, layers=[1], views=views, rng=0)
    mixed, targets = mixer.mix(batch)
    for i in range(5):
        j = int(targets[i].masked_fill(labels == i, 0).argmax()) if targets[i, i] < 1 else i
        if i != j:
            assert mixed[i].mean().item() == pytest.approx((10 + j) * targets[i, j].item(), rel=1e-4)
    alone = MiAMix(5, weights={"mixup": 1}, layers=[1], views=views, second_view=False, rng=0)
    assert (alone.mix(batch)[0] == 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": []}, "layers"),
        ({"layers": [0]}, "layers"),
        ({"alpha": 0}, "alpha must be at least 0.01, got 0"),
        ({"self_mixing": 1.5}, "self_mixing"),
        ({"merge": "mean"}, "merge must be product or sum, got mean"),
        ({"weights": {"cutmx": 1}}, r"weights\.cutmx.*did you mean cutmix"),
        ({"weights": {"cutmix": -1}}, r"weights\.cutmix"),
        ({"weights": {"cutmix": math.inf}}, r"weights\.cutmix"),
        ({"weights": {"cutmix": 0}}, "weights must not all be 0"),
    ],
)
def test_bad_parameters_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MiAMix(10, **settings)  # type: ignore[arg-type]


def test_a_second_view_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="second must be like images"):
        MiAMix(2)(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3, 9, 8))
