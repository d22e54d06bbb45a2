"""Sharpness-aware steps of a classifier."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from chimeramix.errors import UserError
from chimeramix.machine import Machine
from chimeramix.training.classifier import ClassifierTraining
from tests.training.small import small

CPU = Machine(torch.device("cpu"))


def training(folder: Path, *words: str, machine: Machine = CPU) -> ClassifierTraining:
    made = small("classifier", "mixup", machine, folder, *words).training
    assert isinstance(made, ClassifierTraining)
    return made


def test_both_passes_see_the_same_mixed_images(tmp_path: Path) -> None:
    """At other weights, which are put back."""
    sharp = training(tmp_path, "sharpness=0.5", "optimizer.lr=0")
    seen: list[tuple[Tensor, Tensor]] = []
    sharp.model.register_forward_pre_hook(lambda model, inputs: seen.append((inputs[0], model.head.weight.clone())))
    before = {name: tensor.clone() for name, tensor in sharp.model.named_parameters()}
    sharp.step(next(iter(sharp.loader)))
    (images, weights), (images_again, weights_there) = seen
    assert torch.equal(images, images_again)
    assert not torch.equal(weights, weights_there)
    assert all(torch.equal(tensor, before[name]) for name, tensor in sharp.model.named_parameters())


def test_running_statistics_and_losses_are_those_of_the_first_pass(tmp_path: Path) -> None:
    plain, sharp = training(tmp_path), training(tmp_path, "sharpness=0.5")
    figures = [each.step(next(iter(each.loader))) for each in (plain, sharp)]
    assert figures[0] == figures[1]
    for ours, theirs in zip(sharp.model.modules(), plain.model.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            assert torch.equal(ours.running_mean, theirs.running_mean)
            assert torch.equal(ours.running_var, theirs.running_var)
            assert ours.momentum == theirs.momentum


@pytest.mark.parametrize(
    ("words", "machine", "complaint"),
    [
        (["sharpness=0.05"], Machine(torch.device("cpu"), "fp16"), "fp16: choose machine.precision=bf16"),
        (["sharpness=0.05", "procedure=mixmatch", "mixer=none"], CPU, "a procedure has steps of its own"),
    ],
)
def test_what_it_excludes(words: list[str], machine: Machine, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        training(tmp_path, *words, machine=machine)
