"""Optimiser, schedule and loss scaling in one, against a plain loop in torch."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from chimeramix.machine import Machine
from chimeramix.optimize import Optimisation, minimise
from chimeramix.training.schedules import Constant, Cosine, MultiStep

CPU = Machine(torch.device("cpu"))
STEPS = 12
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.999)),
}
SCHEDULES = {"cosine": Cosine(), "steps": MultiStep([0.25, 0.5], 0.2)}


def model_and_batches() -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        return model, [(torch.randn(5, 4), torch.randn(5, 2)) for _ in range(STEPS)]


def run(optimisation: Optimisation, model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
    rates = []
    for inputs, targets in batches:
        rates.append(optimisation.learning_rate)
        optimisation.minimise((model(inputs) - targets).square().mean())
        optimisation.advance()
    return rates


def assert_same_weights(model: nn.Module, other: nn.Module) -> None:
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_equals_a_plain_loop(optimizer: str, schedule: str) -> None:
    model, batches = model_and_batches()
    plain = copy.deepcopy(model)
    optimisation = Optimisation(model.parameters(), OPTIMIZERS[optimizer], SCHEDULES[schedule], STEPS, CPU)
    rates = run(optimisation, model, batches)

    make: dict[str, Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]] = {
        "cosine": lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, STEPS),
        "steps": lambda one: torch.optim.lr_scheduler.MultiStepLR(one, [STEPS // 4, STEPS // 2], 0.2),
    }
    plain_optimizer = OPTIMIZERS[optimizer](plain.parameters())
    scheduler = make[schedule](plain_optimizer)
    expected = []
    for inputs, targets in batches:
        expected.append(plain_optimizer.param_groups[0]["lr"])
        plain_optimizer.zero_grad()
        (plain(inputs) - targets).square().mean().backward()
        plain_optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(expected, rel=1e-12)
    for one, two in zip(model.parameters(), plain.parameters(), strict=True):
        # The rates differ in their last digits, because torch's cosine goes from step to step.
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
def test_sharpness_aware_steps_of_a_quadratic(radius: float) -> None:
    """Of w^T A w / 2, whose gradient is A w: w - rate A (w + radius A w / |A w|), in float64."""
    curvature = torch.tensor([[3.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
    weight, unused = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in ([1.0, -2.0], [7.0]))
    expected = weight.detach().clone()
    sgd = partial(torch.optim.SGD, lr=0.125)
    optimisation = Optimisation([weight, unused], sgd, lambda share: 1.0, 5, CPU)

    def loss() -> Tensor:
        return weight @ curvature @ weight / 2

    for _ in range(5):
        optimisation.minimise_around(loss(), loss, radius)
        optimisation.advance()
        gradient = curvature @ expected
        expected = expected - 0.125 * curvature @ (expected + radius * gradient / gradient.norm())
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-10, atol=1e-12)
    assert unused.item() == 7


def test_groups_keep_their_own_rates() -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimisation = Optimisation(
        [first, second],
        lambda _: torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 1.0}], lr=0.1),
        MultiStep([0.5], 0.2),
        2,
        CPU,
    )
    for _ in range(2):
        optimisation.minimise((first + second).sum())
        optimisation.advance()
    assert [first.item(), second.item()] == pytest.approx([-0.12, -1.2])


def test_gradients_go_to_its_own_parameters_and_through_others() -> None:
    """A loss of three factors: those of another network keep no gradient and their values."""
    own, other = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
    optimisation = Optimisation([own], lambda p: torch.optim.SGD(p, lr=0.1), MultiStep([0.5], 0.2), 10, CPU)
    optimisation.minimise((own * other).square())
    assert own.item() == pytest.approx(2 - 0.1 * 2 * 2 * 9)
    assert own.grad is not None
    assert own.grad.item() == 36
    assert other.grad is None
    assert other.item() == 3


@pytest.mark.parametrize("sharpness", [False, True])
def test_parameters_that_are_not_learned_stay(sharpness: bool) -> None:
    """Frozen layers, of which weight decay would move the weights."""
    learned, frozen = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0), requires_grad=False)
    sgd = partial(torch.optim.SGD, lr=0.1, weight_decay=0.5)
    optimisation = Optimisation([learned, frozen], sgd, Constant(), 10, CPU, undecayed=[frozen])
    if sharpness:
        optimisation.minimise_around(learned * frozen, lambda: learned * frozen, 0.05)
    else:
        optimisation.minimise(learned * frozen)
    assert learned.item() == pytest.approx(2 - 0.1 * (3 + 0.5 * 2))
    assert frozen.item() == 3


def test_gradients_do_not_add_up_over_steps() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimisation = Optimisation([parameter], lambda p: torch.optim.SGD(p, lr=0.1), MultiStep([0.5], 0.2), 10, CPU)
    for _ in range(3):
        optimisation.minimise(parameter.sum())
    assert parameter.item() == pytest.approx(-0.3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("stop_after", [0, 1, 6, STEPS - 1])
def test_another_goes_on_from_its_state(optimizer: str, precision: str, stop_after: int) -> None:
    """With the same weights in the end, to the bit: moments, rate and scale are all in the state."""
    machine = Machine(torch.device("cpu"), precision)

    def start() -> tuple[nn.Module, Optimisation]:
        model, _ = model_and_batches()
        return model, Optimisation(model.parameters(), OPTIMIZERS[optimizer], Cosine(), STEPS, machine)

    model, optimisation = start()
    _, batches = model_and_batches()
    run(optimisation, model, batches[:stop_after])
    other, resumed = start()
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimisation.state_dict()))
    rates = run(resumed, other, batches[stop_after:])
    assert rates == run(optimisation, model, batches[stop_after:])
    assert_same_weights(model, other)


def test_the_scale_of_the_loss_goes_on() -> None:
    """The first step overflows and halves the scale; another that began with the whole one would leave a step out."""
    machine = Machine(torch.device("cpu"), "fp16")
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    first, second = (
        Optimisation([one], lambda p: torch.optim.SGD(p, lr=0.1 / 8e33), MultiStep([0.5], 0.2), 10, machine)
        for one in parameters
    )

    def loss(parameter: Tensor) -> Tensor:
        return (parameter * 8e33).sum()  # float32 ends at 3.4e38: 65536 times this is too much, half of it is not

    first.minimise(loss(parameters[0]))
    first.advance()
    assert parameters[0].item() == 1
    second.load_state_dict(first.state_dict())
    second.minimise(loss(parameters[1]))
    assert parameters[1].item() == pytest.approx(0.9)


@pytest.mark.parametrize(("before", "after"), [("fp32", "fp16"), ("bf16", "fp16"), ("fp16", "fp32")])
def test_a_training_may_go_on_in_another_precision(before: str, after: str) -> None:
    """The precision belongs to the machine and not to a run's identity."""
    model, batches = model_and_batches()
    optimisations = [
        Optimisation(model.parameters(), OPTIMIZERS["sgd"], Cosine(), STEPS, Machine(torch.device("cpu"), precision))
        for precision in (before, after)
    ]
    run(optimisations[0], model, batches[:6])
    optimisations[1].load_state_dict(optimisations[0].state_dict())
    rates = run(optimisations[1], model, batches[6:])
    assert rates[0] == pytest.approx(0.05)


def test_scaling_changes_no_step() -> None:
    """fp16 multiplies the loss by a power of two and divides the gradients by it: exact in float32."""
    model, batches = model_and_batches()
    plain = copy.deepcopy(model)
    for one, precision in ((model, "fp16"), (plain, "fp32")):
        machine = Machine(torch.device("cpu"), precision)
        run(Optimisation(one.parameters(), OPTIMIZERS["sgd"], Cosine(), STEPS, machine), one, batches)
    assert_same_weights(model, plain)


def test_an_overflow_leaves_out_one_step() -> None:
    """Usual in the first steps of fp16, until the scale has come down: no warning, no change, and the schedule goes on,
    because the training's length is fixed."""
    parameter = nn.Parameter(torch.ones(1))
    machine = Machine(torch.device("cpu"), "fp16")
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    optimisation = Optimisation([parameter], sgd, lambda done: 1 - done, 10, machine)
    optimisation.minimise((parameter * 1e37).sum() * 10)  # times the scale of 65536 this is infinite
    optimisation.advance()
    assert parameter.item() == 1
    assert optimisation.learning_rate == pytest.approx(0.09)
    optimisation.minimise(parameter.sum())
    assert parameter.item() == pytest.approx(1 - 0.09)


def test_a_state_follows_its_weights_order_in_memory() -> None:
    """A classifier's weights may lie channels last in one precision and not in another; fused steps need both alike."""
    kernels = [nn.Parameter(torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))) for _ in range(2)]
    kernels[1].data = kernels[1].data.contiguous(memory_format=torch.channels_last)
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    plain, last = (Optimisation([kernel], sgd, Cosine(), 10, CPU) for kernel in kernels)
    loss = torch.arange(108.0).view(4, 3, 3, 3)
    plain.minimise((kernels[0] * loss).sum())
    with torch.no_grad():
        kernels[1].copy_(kernels[0])
    last.load_state_dict(plain.state_dict())
    for one, kernel in ((plain, kernels[0]), (last, kernels[1])):
        one.minimise((kernel * loss).sum())
    torch.testing.assert_close(*kernels)


def test_parameters_without_weight_decay_keep_their_place_when_the_gradient_is_zero():
    decayed, kept = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimisation = Optimisation(
        [decayed, kept], partial(torch.optim.SGD, lr=0.5, weight_decay=0.1), Cosine(), 10, CPU, undecayed=[kept]
    )
    optimisation.minimise(0 * (decayed + kept).sum())
    assert kept.tolist() == [1, 1]
    torch.testing.assert_close(decayed.detach(), torch.full((2,), 1 - 0.5 * 0.1))


def test_two_optimisers_share_one_backward_pass():
    first, second = (torch.nn.Parameter(torch.tensor(2.0)) for _ in range(2))
    one, other = (
        Optimisation([parameter], partial(torch.optim.SGD, lr=rate), Cosine(), 10, CPU)
        for parameter, rate in ((first, 0.1), (second, 0.01))
    )
    minimise(first * second, one, other)
    torch.testing.assert_close(first.detach(), torch.tensor(2 - 0.1 * 2))
    torch.testing.assert_close(second.detach(), torch.tensor(2 - 0.01 * 2))
