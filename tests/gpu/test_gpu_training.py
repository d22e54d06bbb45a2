"""Training on a CUDA device: no synchronisation inside a step, the same bits twice, recorded or not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chimeramix.config.compose import compose_settings
from chimeramix.machine import Machine
from chimeramix.runs.train import train
from chimeramix.training.loop import steps_of
from chimeramix.training.metrics import EpochMeans
from tests.training.small import EXPERIMENTS, WITH_GENERATOR, assert_same, small, trained

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TINY = [
    "+dataset=demo/digits",
    "max_labels_per_class=2",
    "generator.features=8",
    "generator.discriminator.features=8",
    "generator.epochs=2",
    "generator.batch_size=8",
    "epochs=2",
    "machine.device=cuda",
]


TRAININGS = [
    *(("generator", experiment, ()) for experiment in WITH_GENERATOR),
    *(("classifier", experiment, ()) for experiment in EXPERIMENTS),
    *(("classifier", "baseline", (f"augment={policy}",)) for policy in ("autoaugment", "trivialaugment")),
    *(("classifier", "mixup", (word,)) for word in ("average=ema", "average=swa", "sharpness=0.05")),
]


@pytest.mark.parametrize(("role", "experiment", "overrides"), TRAININGS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_step_waits_for_the_device(
    role: str, experiment: str, overrides: tuple[str, ...], precision: str, tmp_path: Path
) -> None:
    if precision == "fp16" and "sharpness=0.05" in overrides:
        pytest.skip("refused")
    machine = Machine.choose("cuda", precision)
    parts = small(role, experiment, machine, tmp_path, *overrides)
    step = steps_of(parts.training, EpochMeans(machine.device), parts.streams, machine)
    trained(parts, machine, epochs=8)  # the first steps may set up libraries
    positions = list(parts.training.loader.positions())
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index, labelled in positions * 3:
            step(index, labelled)
            parts.training.advance(len(index))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("role", "experiment"), [training[:2] for training in TRAININGS if not training[2]])
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_recorded_steps_end_with_the_bits_of_plain_ones(
    role: str, experiment: str, precision: str, tmp_path: Path
) -> None:
    results = []
    for compile in (False, "graphs"):
        machine = Machine.choose("cuda", precision, compile)
        machine.make_reproducible()
        results.append(trained(small(role, experiment, machine, tmp_path), machine))
    assert_same(*results)


@pytest.mark.parametrize("word", ["average=ema", "average=swa", "sharpness=0.05"])
def test_recorded_averages_and_sharpness_aware_steps(word: str, tmp_path: Path) -> None:
    results = []
    for compile in (False, "graphs"):
        machine = Machine.choose("cuda", "tf32", compile)
        machine.make_reproducible()
        results.append(trained(small("classifier", "mixup", machine, tmp_path, word), machine))
    assert_same(*results)


@pytest.mark.parametrize("compile", [False, "graphs"])
def test_computing_statistics_between_epochs_moves_no_stream(compile: bool | str, tmp_path: Path) -> None:
    words = ["average=swa", "average.start=0", "model.dropout=0.3", "monitor.evaluate_every=1"]
    weights = []
    for evaluated in (False, True):
        machine = Machine.choose("cuda", "tf32", compile)
        machine.make_reproducible()
        parts = small("classifier", "miamix", machine, tmp_path, *words)
        step = steps_of(parts.training, EpochMeans(machine.device), parts.streams, machine)
        with machine.own_stream():
            for epoch in range(1, 9):
                for index, labelled in parts.training.loader.positions():
                    step(index, labelled)
                    parts.training.advance(len(index))
                if evaluated:
                    parts.training.end_epoch(epoch)
        weights.append(parts.training.state_dict()["model"])
    assert_same(*weights)


@pytest.mark.parametrize("experiment", ["chimeramix_grid", "chimeramix_segmentation"])
@pytest.mark.parametrize("compile", ["false", "graphs"])
def test_two_trainings_end_with_the_same_bits(experiment: str, compile: str, tmp_path: Path) -> None:
    weights = []
    for runs in (tmp_path / "first", tmp_path / "second"):
        overrides = [*TINY, f"+experiment={experiment}", f"machine.runs_dir={runs}", f"machine.compile={compile}"]
        for role in ("generator", "classifier"):
            train(compose_settings(role, [word for word in overrides if role == "classifier" or word != "epochs=2"]))
        weights.append([load_file(next(runs.rglob(f"{role}.safetensors"))) for role in ("generator", "classifier")])
    for first, second in zip(*weights, strict=True):
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
