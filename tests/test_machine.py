"""Where a run computes, and what a machine does slowly."""

from pathlib import Path

import pytest
import torch

from chimeramix import machine
from chimeramix.config.compose import Tree
from chimeramix.errors import RunFailure
from chimeramix.machine import Machine
from chimeramix.sweep.driver import sweep
from tests.runs.tiny import CLASSIFIER, COMMON, run

EMULATED = (
    "machine.precision=bf16: this CPU has no instructions for it, so training takes many times as long as with "
    "machine.precision=auto"
)


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="x86's names")
def test_half_precision_is_emulated_where_the_processor_has_no_avx512() -> None:
    has = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    assert Machine.choose("cpu", "bf16").emulation() == (None if has else EMULATED)


def test_neither_full_precision_nor_a_gpu_emulates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_has_convolutions_in", lambda precision: False)
    assert Machine.choose("cpu", "auto").emulation() is None
    assert Machine(torch.device("cuda"), "bf16").emulation() is None


def test_a_run_says_what_its_machine_emulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_has_convolutions_in", lambda precision: False)
    folder = run("classifier", tmp_path, "machine.precision=bf16", "epochs=1", experiment="baseline")
    assert (folder / "train.log").read_text().count(EMULATED) == 1


def test_a_sweep_says_once_what_its_machine_emulates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_has_convolutions_in", lambda precision: False)
    monkeypatch.setattr("chimeramix.sweep.driver.launch", lambda *_: [])
    words = [*COMMON, "+experiment=baseline", *CLASSIFIER, f"machine.runs_dir={tmp_path}", "seed=0,1"]
    with pytest.raises(RunFailure):  # nothing was launched
        sweep(Tree("classifier"), [*words, "machine.precision=bf16", "hydra/launcher=local"])
    assert caplog.messages.count(EMULATED) == 1
