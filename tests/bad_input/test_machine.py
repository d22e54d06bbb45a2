"""What this machine does not have."""

import os

import pytest
import torch

from chimeramix.training.classifier import ClassifierTraining
from tests.bad_input.words import BASELINE, TINY


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_gpu_where_there_is_none(device, refusal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    line = refusal("classifier", *BASELINE, f"machine.device={device}")
    assert line == f"machine.device={device}: this machine has no CUDA GPU; use machine.device=auto or cpu"


def test_a_gpu_too_many(refusal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "machine.device=cuda:7: this machine has 1 CUDA GPU;" in refusal(
        "classifier", *BASELINE, "machine.device=cuda:7"
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 bytes\nframe 1"
        ),
        torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 8 bytes"),
        MemoryError(),
    ],
)
def test_a_run_that_runs_out_of_memory(error, command, monkeypatch):
    """What the check beforehand does not count is a failure in one line, too."""

    def step(*_):
        raise error

    monkeypatch.setattr(ClassifierTraining, "step", step)
    status, _, lines = command("classifier", *BASELINE, *TINY, "model.width=1")
    assert status == 1
    assert lines[-1].startswith("error: out of memory: choose a smaller batch_size, model or image size")
    assert "frame" not in lines[-1]


def test_a_sweep_without_slurm(refusal, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refusal("classifier", *BASELINE, "seed=0,1", "hydra.launcher.partition=gpu", "--multirun")
    assert "no Slurm on this machine" in line
    assert "hydra/launcher=basic" in line


def test_runs_cannot_be_written_below_a_file(refusal, tmp_path):
    (tmp_path / "file").touch()
    line = refusal("classifier", *BASELINE, *TINY, f"machine.runs_dir={tmp_path}/file/runs")
    assert f"machine.runs_dir: {tmp_path}/file/runs/" in line
    assert "can't be written" in line
    assert "machine.runs_dir=DIR" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_runs_cannot_be_written_into_a_locked_folder(refusal, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    line = refusal("classifier", *BASELINE, *TINY, f"machine.runs_dir={tmp_path}/locked")
    assert "can't be written (Permission denied)" in line
