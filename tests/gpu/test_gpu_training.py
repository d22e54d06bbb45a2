"""Training on a CUDA device: no synchronisation inside a step, the same bits twice."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chimeramix import build
from chimeramix.config import compose_settings
from chimeramix.data.views import SameClassPartners
from chimeramix.machine import Machine
from chimeramix.runs import train
from chimeramix.streams import RunStreams

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


@pytest.mark.parametrize("experiment", ["chimeramix_grid", "chimeramix_segmentation"])
def test_a_generator_step_does_not_wait_for_the_device(experiment: str, tmp_path: Path) -> None:
    values = compose_settings("classifier", [*TINY, f"+experiment={experiment}"]).values
    machine = Machine.choose("cuda", "fp32")
    source = build.source(values)
    data = build.training_images(source, values)
    generator = build.generator(values)
    streams = RunStreams(0, machine.device)
    subset = build.subset(data, generator.image_size).to(machine.device)
    views = build.views(subset, generator.augment, source, streams)
    segments = build.segments(data, generator.image_size, generator.mask, source, tmp_path, workers=1)
    if segments is not None:
        views.attach_segments(segments)
    partners = SameClassPartners(views, streams["partners"])
    generator.prepare(machine, 10)
    index = torch.arange(8, device=machine.device)

    def step() -> None:
        first = views(index)
        generator.step(first, partners(first, include_self=True), streams["mixing"])

    step()  # the first call may set up libraries
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("experiment", ["chimeramix_grid", "chimeramix_segmentation"])
def test_two_trainings_end_with_the_same_bits(experiment: str, tmp_path: Path) -> None:
    weights = []
    for runs in (tmp_path / "first", tmp_path / "second"):
        overrides = [*TINY, f"+experiment={experiment}", f"machine.runs_dir={runs}"]
        for role in ("generator", "classifier"):
            train(compose_settings(role, [word for word in overrides if role == "classifier" or word != "epochs=2"]))
        weights.append([load_file(next(runs.rglob(f"{role}.safetensors"))) for role in ("generator", "classifier")])
    for first, second in zip(*weights, strict=True):
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
