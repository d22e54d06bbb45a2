"""Where a run computes, and what a machine does slowly."""

from pathlib import Path

import pytest
import torch

from chimeramix import machine
from chimeramix.config.compose import Tree
from chimeramix.errors import RunFailure
from chimeramix.machine import Machine
from chimeramix.sweep.driver import sweep
from tests.runs.tiny import CLASSIFIER, COMMON

EMULATED = (
    "machine.precision=bf16: this CPU has no instructions for it, so training takes many times as long as with "
    "machine.precision=auto"
)


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="x86's names")
def test_half_precision_is_emulated_where_the_processor_has_no_avx512() -> None:
    has = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    assert Machine.choose("cpu", "bf16").emulation() == (None if has else EMULATED)


@pytest.mark.parametrize(("supported", "line"), [(True, None), (False, EMULATED.replace("CPU", "CUDA"))])
def test_a_gpu_is_asked_for_what_it_has_itself(
    supported: bool, line: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_bf16_supported(including_emulation: bool) -> bool:
        return including_emulation or supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    device = torch.device("cuda")
    assert Machine(device, "bf16").emulation() == line
    assert Machine(device, "fp16").emulation() is None


def test_full_precision_is_never_emulated() -> None:
    assert Machine.choose("cpu", "auto").emulation() is None


def test_a_sweep_says_once_what_its_machine_emulates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs say it only in their own logs."""
    monkeypatch.setattr(machine, "_computes_in", lambda dtype, device: False)
    monkeypatch.setattr("chimeramix.sweep.driver.launch", lambda *_: None)
    words = [*COMMON, "+experiment=baseline", *CLASSIFIER, f"machine.runs_dir={tmp_path}", "seed=0,1"]
    with pytest.raises(RunFailure):  # nothing was launched
        sweep(Tree("classifier"), [*words, "machine.precision=bf16", "hydra/launcher=local"])
    assert caplog.messages.count(EMULATED) == 1
