"""SuperMix's masks, its descent, and its pool."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from chimeramix.augment.flip_crop import FlipCrop
from chimeramix.generators import SuperMixGenerator
from chimeramix.generators.pool import ImagePool
from chimeramix.machine import Machine
from chimeramix.mixing import SuperMix
from chimeramix.streams import RandomStream
from chimeramix.training.schedules import Cosine
from chimeramix.types import Batch, Subset


class BrightQuarter(nn.Module):
    """Scores class k by how bright the k-th quarter of the image is: the teacher knows where a class shows."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * F.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)


def quarters(count: int = 8) -> Batch:
    """Images of 16 pixels a side that are bright in the quarter of their class, dark elsewhere."""
    labels = torch.arange(count) % 4
    images = torch.full((count, 3, 16, 16), -1.0)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 1
    return Batch(images, labels, torch.arange(count))


def made(**settings: Any) -> SuperMixGenerator:
    arguments: dict[str, Any] = {
        "image_size": 16,
        "epochs": 1,
        "batch_size": 8,
        "epoch_labels_per_class": 2,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "augment": FlipCrop(0, 0),
        "teacher": BrightQuarter,
        "optimizer": partial(torch.optim.SGD, lr=0.0),
        "schedule": Cosine(),
        "pool_epochs": 1,
        "tolerance": 0.0,
    }
    training = SuperMixGenerator(**{**arguments, **settings})
    training.begin(Subset(torch.zeros(8, 3, 16, 16, dtype=torch.uint8), quarters().labels, 4), RandomStream(0))
    training.prepare(Machine(torch.device("cpu")), 2)
    return training


def test_masks_of_a_pair_sum_to_1_and_start_as_one_half() -> None:
    training = made()
    start = training._masks(torch.zeros(3, 2, 8, 8))
    torch.testing.assert_close(start, torch.full((3, 2, 16, 16), 0.5))
    masks = training._masks(torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(masks.sum(1), torch.ones(3, 16, 16))
    assert masks.min() >= 0


def test_mixtures_show_both_images_where_the_teacher_looks() -> None:
    """Each mixture of two classes is as bright in both their quarters, more or less, and dark elsewhere."""
    batch = quarters()
    images, targets, done = made().mixtures(batch, RandomStream(0))
    assert done.all()
    brightness = F.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)
    for n in range(8):
        pair = {n % 4, (n + 1) % 4}
        assert set(brightness[n].topk(2).indices.tolist()) == pair
        assert set(targets[n].topk(2).indices.tolist()) == pair
    torch.testing.assert_close(targets.sum(1), torch.ones(8))


def test_the_targets_are_the_teachers_predictions() -> None:
    training = made()
    images, targets, _ = training.mixtures(quarters(), RandomStream(0))
    torch.testing.assert_close(targets, training.teacher(images).softmax(1))


def test_a_step_follows_the_smoothed_gradient() -> None:
    """Length |loss| / <g, w>, w the gradient blurred with sigma 1 over 5 pixels; done samples stay."""
    training = made()
    generator = torch.Generator().manual_seed(0)
    logits, gradient = torch.randn(2, 3, 2, 8, 8, generator=generator)
    loss, still_open = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([True, True, False])
    got = training._descend(logits, gradient, loss, still_open)
    padded = F.pad(gradient, (2, 2, 2, 2))
    smooth = gaussian_blur(padded, [5, 5], [1.0, 1.0])[..., 2:-2, 2:-2]
    for n in range(3):
        length = loss[n] / (gradient[n] * smooth[n]).sum()
        expected = logits[n] - length * smooth[n] if still_open[n] else logits[n]
        torch.testing.assert_close(got[n], expected, atol=1e-4, rtol=1e-4)


class LinearTeacher(nn.Module):
    """Scores are linear in the means of 4 x 4 areas."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(num_classes, 48, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, 4).flatten(1) @ self.weight.T


def test_mixtures_against_a_loop_in_float64() -> None:
    """Each pair on its own: cross entropy with the share of each class, plus 25 times the mean of m (1 - m)."""
    training = made(teacher=LinearTeacher, iterations=4)
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    got, targets, done = training.mixtures(Batch(images, torch.zeros(6, dtype=torch.int64)), RandomStream(3))
    shares = RandomStream(3).dirichlet(torch.full((6, 2), 3.0)).double()
    assert not done.all(), "one pair must stay open through all steps"

    teacher = LinearTeacher(4).double()
    for n in range(6):
        pair = images[[n, (n + 1) % 6]].double()
        first, second = teacher(pair).argmax(1).tolist()
        target = torch.zeros(4, dtype=torch.float64)
        target[first] += shares[n, 0]
        target[second] += shares[n, 1]
        logits, found = torch.zeros(1, 2, 8, 8, dtype=torch.float64), False
        for turn in range(5):
            logits.requires_grad_()
            weights = F.interpolate(logits, size=16, mode="bilinear")[0].sigmoid()
            masks = weights / weights.sum(0)
            mixture = masks[0] * pair[0] + masks[1] * pair[1]
            scores = teacher(mixture[None])[0]
            if turn == 4:
                break
            found = found or set(scores.topk(len({first, second})).indices.tolist()) == {first, second}
            if not found:
                loss = -(target * scores.log_softmax(0)).sum() + 25 * (masks * (1 - masks)).mean()
                (slope,) = torch.autograd.grad(loss, logits)
                blurred = gaussian_blur(F.pad(slope, (2, 2, 2, 2)), [5, 5], [1.0, 1.0])[..., 2:-2, 2:-2]
                length = min(2000.0, (loss.detach() / (slope * blurred).sum()).item())  # of the published code
                logits = logits.detach() - length * blurred
        assert done[n] == found
        torch.testing.assert_close(got[n].double(), mixture, atol=1e-4, rtol=0)
        torch.testing.assert_close(targets[n].double(), scores.softmax(0), atol=1e-4, rtol=0)


def test_what_is_done() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [1.0, 3.0, 2.0]])
    wanted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert SuperMixGenerator._is_done(scores, wanted).tolist() == [True, False, True, False]


def test_first_the_teacher_then_the_pool() -> None:
    training = made()
    rng = RandomStream(0)
    assert set(training.step(quarters(), None, rng)) == {"teacher", "teacher_accuracy"}
    assert training.network.count == 0
    training.advance()
    losses = training.step(quarters(), None, rng)
    assert losses["kept"] == 1
    assert training.network.count == 8


def test_the_pool_keeps_images_and_targets() -> None:
    pool = ImagePool(4, [0.5] * 3, [0.25] * 3)
    pool.make_room(5, 3)
    generator = torch.Generator().manual_seed(0)
    images = (torch.randint(256, (3, 3, 4, 4), generator=generator) / 255 - 0.5) / 0.25
    targets = torch.rand(3, 3, generator=generator).softmax(1)
    pool.add(images[:2], targets[:2])
    pool.add(images[2:], targets[2:])
    other = ImagePool(4, [0.5] * 3, [0.25] * 3)
    other.load_state_dict(pool.state_dict())
    drawn, wanted = other.draw(torch.tensor([2, 0]))
    torch.testing.assert_close(drawn, images[[2, 0]], atol=1e-5, rtol=0)
    assert torch.equal(wanted, targets[[2, 0]])
    assert other.count == 3


def test_the_mixer_replaces_a_share_of_the_images() -> None:
    pool = ImagePool(4, [0.5] * 3, [0.5] * 3)
    pool.make_room(10, 2)
    pool.add(torch.ones(4, 3, 4, 4), torch.tensor([[0.25, 0.75]]).expand(4, 2))
    mixer = SuperMix(2, pool, probability=0.3, rng=0)
    mixer.check(4)
    labels = torch.zeros(2000, dtype=torch.int64)
    images, targets = mixer(torch.zeros(2000, 3, 4, 4), labels)
    replaced = images[:, 0, 0, 0] == 1
    assert replaced.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(targets, torch.where(replaced[:, None], torch.tensor([0.25, 0.75]), torch.tensor([1.0, 0.0])))


def test_an_empty_pool_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="kept no mixture"):
        SuperMix(2, ImagePool(4, [0.5] * 3, [0.5] * 3)).check(4)


@pytest.mark.parametrize(
    "settings",
    [{"pool_epochs": 0}, {"concentration": 0.0}, {"tolerance": 1.0}, {"iterations": 0}, {"mask_size": 0}],
)
def test_bad_parameters_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        made(**settings)
