"""Recorded steps. There is no GPU here: a tape stands for CUDA graphs and, as they do, repeats what the device did,
under the same addresses, without running a line of Python."""

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.synthetic import parts_of
from chimeramix.data import views
from chimeramix.errors import Interrupted, UserError
from chimeramix.machine import Machine
from chimeramix.mixing import rows
from chimeramix.optimize import Optimisation
from chimeramix.streams import RandomStream, RunStreams
from chimeramix.training import loop
from chimeramix.training.checkpoint import load_checkpoint
from chimeramix.training.recording import RecordedSteps, Replay
from chimeramix.training.schedules import Cosine
from chimeramix.training.tracking import Tracker
from tests.training.small import EPOCHS, EXPERIMENTS, WITH_GENERATOR, assert_same, small, trained

CPU = torch.device("cpu")
READS = {
    *("_local_scalar_dense", "nonzero", "equal", "_unique2", "unique_consecutive", "unique_dim", "bincount"),
    *("masked_select", "repeat_interleave", "histc", "is_nonzero"),
}
COPIES_FROM_HOST = {"lift_fresh", "lift_fresh_copy"}


class Tape(TorchDispatchMode):
    """Writes down all operations, and refuses those with which the host would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        assert name not in READS, f"{name} reads from the device"
        assert name not in COPIES_FROM_HOST, f"{name} copies from the host"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1]), f"{name} counts what it takes"
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, before in self.operations:
            result = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(result), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():  # neither a view nor in place
                    old.copy_(new)


class Tapes:
    """In the place of `CudaGraphs`."""

    def __init__(self) -> None:
        self.replays: Counter[int] = Counter()

    def __call__(self, work: Callable[[], None], generators: list[torch.Generator]) -> Replay:
        number = len(self.replays)
        self.replays[number] = 0
        with Tape() as tape, pytest.MonkeyPatch.context() as patch:
            for name in ("cpu", "numpy", "tolist"):
                patch.setattr(Tensor, name, lambda tensor, name=name: pytest.fail(f"{name} reads from the device"))
            work()

        def replay() -> None:
            self.replays[number] += 1
            tape.replay()

        return replay


@pytest.fixture(autouse=True)
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams have two generators, no code looks at tensors' values, and labels become one-hot unchecked."""
    plain = RandomStream.__init__

    def with_two_generators(self: RandomStream, seed: int, device: torch.device | str = "cpu") -> None:
        plain(self, seed, device)
        self.device = torch.Generator().manual_seed(seed)

    def one_hot(labels: Tensor, classes: int) -> Tensor:
        return (labels.unsqueeze(-1) == torch.arange(classes)).long()

    monkeypatch.setattr(RandomStream, "__init__", with_two_generators)
    monkeypatch.setattr(rows, "may_look", lambda values: False)
    monkeypatch.setattr(views, "may_look", lambda values: False)
    monkeypatch.setattr("torch.nn.functional.one_hot", one_hot)


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> Tapes:
    made = Tapes()
    monkeypatch.setattr(loop, "CudaGraphs", lambda: made)
    return made


def both_ways(
    role: str, experiment: str, folder: Path, *overrides: str, precision: str = "fp32"
) -> list[tuple[dict[str, Any], list[dict[str, float]]]]:
    """The same training without and with recording."""
    machines = Machine(CPU, precision), Machine(CPU, precision, "graphs")
    return [trained(small(role, experiment, machine, folder, *overrides), machine) for machine in machines]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains_to_the_same_bits(experiment: str, tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways("classifier", experiment, tmp_path))
    assert sum(tapes.replays.values()) >= 10


@pytest.mark.parametrize("experiment", WITH_GENERATOR)
def test_generators_train_to_the_same_bits(experiment: str, tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways("generator", experiment, tmp_path))
    assert sum(tapes.replays.values()) >= 10


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_groups_of_images_of_a_class(role: str, tapes: Tapes, tmp_path: Path) -> None:
    """With all draws that masks for several images have; the last batch of an epoch needs fewer partners than there are
    images in the subset, the others more."""
    owner = "generator" if role == "generator" else "mixer"
    more = ["mask.assign=dirichlet", "mask.source=random", f"{owner}.include_self=false"]
    assert_same(*both_ways(role, "several/segmentation", tmp_path, *more))
    assert sum(tapes.replays.values()) >= 10


def test_optimisers_that_are_cleared_between_epochs(tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways("generator", "glico", tmp_path, "generator.optimizer_state=cleared"))
    assert sum(tapes.replays.values()) >= 10


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_averages_of_the_weights(average: str, tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways("classifier", "mixup", tmp_path, f"average={average}"))
    assert sum(tapes.replays.values()) >= 10


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_sharpness_aware_steps(optimizer: str, tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways("classifier", "mixup", tmp_path, "sharpness=0.05", f"optimizer={optimizer}"))
    assert sum(tapes.replays.values()) >= 10


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_half_precision_too(role: str, tapes: Tapes, tmp_path: Path) -> None:
    assert_same(*both_ways(role, "chimeramix_grid", tmp_path, precision="bf16"))
    assert sum(tapes.replays.values()) >= 10


def test_the_scale_of_fp16s_loss_changes_on_the_device() -> None:
    """A step overflows while it is replayed: that one is left out, the scale is halved, the next ones go on."""
    weights, scales, tapes = [], [], Tapes()
    for compile in (False, "graphs"):
        machine = Machine(CPU, "fp16", compile)
        weight, factors = torch.nn.Parameter(torch.ones(1)), torch.ones(12)
        factors[9] = 1e37  # times the scale of 65536 this is infinite
        sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.5)
        optimisation = Optimisation([weight], sgd, Cosine(), 12, machine)

        def step(
            index: Tensor,
            labelled: bool,
            weight: Tensor = weight,
            factors: Tensor = factors,
            optimisation: Optimisation = optimisation,
        ) -> None:
            optimisation.minimise((weight * factors[index]).sum())

        take = RecordedSteps(step, RunStreams(0, CPU), tapes) if machine.records else step
        for number in range(12):
            take(torch.tensor([number]), True)
            optimisation.advance()
        weights.append(weight.detach())
        scales.append(optimisation.state_dict()["scaler"]["scale"])
    expected, velocity = 1.0, 0.0
    for number in range(12):
        if number != 9:
            velocity = 0.5 * velocity + 1
            expected -= 0.1 * Cosine()(number / 12) * velocity
    assert weights[0] == weights[1] == pytest.approx(expected)
    assert scales == [32768, 32768]
    assert sum(tapes.replays.values()) == 8


def test_a_restored_training_records_again_and_ends_with_the_same_bits(tapes: Tapes, tmp_path: Path) -> None:
    machine = Machine(CPU, compile="graphs")
    whole, half, rest = (small("classifier", "chimeramix_grid", machine, tmp_path) for _ in range(3))
    expected, _ = trained(whole, machine)
    trained(half, machine, EPOCHS // 2)
    rest.training.load_state_dict(copy.deepcopy(half.training.state_dict()))
    rest.streams.load_state_dict(half.streams.state_dict())
    assert_same(trained(rest, machine, EPOCHS - EPOCHS // 2)[0], expected)


def test_a_recorded_run_interrupted_within_an_epoch_ends_with_the_same_bits(
    tapes: Tapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the loop and its checkpoint file: the second one records again."""
    machine = Machine(CPU, compile="graphs")

    def fit(folder: Path, state: dict[str, Any] | None = None, stop_after: int = 1000) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        parts = small("generator", "chimeramix_grid", machine, folder, "generator.optimizer._target_=torch.optim.AdamW")

        def progress(done: int, steps: int, last: dict[str, Any]) -> None:
            if done >= stop_after:
                raise Interrupted(15)

        loop.fit(parts.training, parts.streams, folder, "run", machine, Tracker(), 0.0, state, progress)
        return parts.training.state_dict()

    expected = fit(tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(tmp_path / "again", stop_after=25)  # in the ninth epoch of three steps, some variants recorded
    assert tapes.replays
    ended = fit(tmp_path / "again", load_checkpoint(tmp_path / "again" / "checkpoint.pt", "run"))
    assert_same(ended["network"], expected["network"])
    assert_same(ended["discriminator"], expected["discriminator"])


@pytest.mark.parametrize("before", [False, "graphs"])
def test_adam_may_be_recorded_whatever_wrote_its_state(before: bool | str) -> None:
    """PyTorch refuses to record an Adam without this flag, and a state brings its own."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    one, other = (
        Optimisation([weight], partial(torch.optim.Adam, lr=0.1), Cosine(), 10, Machine(CPU, compile=compile))
        for weight, compile in zip(weights, (before, "graphs"), strict=True)
    )
    one.minimise(weights[0].sum())
    other.load_state_dict(one.state_dict())
    assert [group["capturable"] for group in other._optimizer.param_groups] == [True]
    assert isinstance(other._optimizer.param_groups[0]["lr"], Tensor)


def test_each_variant_is_recorded_once_after_three_runs() -> None:
    """Variants: a fair coin, and after heads another one; the second batch size has variants of its own."""
    streams = RunStreams(0, CPU)
    rng, runs, tapes = streams["mixing"], Counter[str](), Tapes()
    taken: list[str] = []

    def step(index: Tensor, labelled: bool) -> None:
        variant = f"{len(index)}{rng.coin(0.5):d}"
        if variant.endswith("1"):
            variant += f"{rng.coin(0.5):d}"
        runs[variant] += 1
        taken.append(variant)

    recorded = RecordedSteps(step, streams, tapes)
    for number in range(200):
        recorded(torch.arange(5 if number % 4 else 2), True)
    assert set(runs) == {f"{size}{coins}" for size in (2, 5) for coins in ("0", "10", "11")}
    assert set(runs.values()) == {4}  # three by themselves, one while it is recorded
    assert sum(tapes.replays.values()) == 200 - 6 * 4


def test_coins_are_those_of_plain_steps() -> None:
    """Tossed ahead, they come from the same stream in the same order, whatever the steps do with them."""
    streams, plain = RunStreams(0, CPU), RunStreams(0, CPU)
    heads = torch.zeros(())

    def step(index: Tensor, labelled: bool) -> None:
        for _ in range(2):
            if streams["mixing"].coin(0.3):
                heads.add_(1)

    streams["mixing"]
    recorded = RecordedSteps(step, streams, Tapes())
    for _ in range(100):
        recorded(torch.arange(1), True)
    assert heads == sum(plain["mixing"].coin(0.3) for _ in range(200))


@pytest.mark.parametrize(
    ("role", "overrides", "complaint"),
    [
        ("classifier", ["+experiment=baseline", "augment=autoaugment"], "augment decides"),
        ("generator", ["+experiment=supermix"], "generator decides"),
        (
            "classifier",
            ["+experiment=baseline", "optimizer._target_=torch.optim.SGD", "+optimizer.fused=false"],
            "fused",
        ),
    ],
)
def test_what_cannot_be_recorded_is_refused(role: str, overrides: list[str], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        parts_of(role, Machine(CPU, compile="graphs"), tmp_path, *overrides)
    assert "machine.compile=graphs" in str(error.value)
    assert "machine.compile=true" in str(error.value)
