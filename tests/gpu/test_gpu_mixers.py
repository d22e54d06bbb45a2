"""Mixers on a GPU: no synchronisation within a call, and the same laws as on a CPU."""

import pytest
import torch

from chimeramix.mixing import AGMix, CutMix, FMix, GMix, GridMix, MiAMix, Mixer, MixUp, SaliencyMix

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
MIXERS = [MixUp, CutMix, FMix, GridMix, GMix, AGMix, SaliencyMix, MiAMix]


@pytest.mark.parametrize("kind", MIXERS)
def test_a_call_never_waits_for_the_device(kind: type[Mixer]) -> None:
    mixer = kind(3, probability=1.0, rng=0)
    images = torch.randn(16, 3, 32, 32, device="cuda")
    labels = torch.randint(3, (16,), device="cuda")
    mixer(images, labels)  # tables that depend on the size alone are made once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            mixer(images, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", MIXERS)
def test_label_mass_is_pixel_mass(kind: type[Mixer], dtype: torch.dtype) -> None:
    labels = torch.arange(60, device="cuda") % 3
    images = torch.eye(3, device="cuda", dtype=dtype)[labels][:, :, None, None].expand(-1, -1, 32, 32)
    mixed, targets = kind(3, probability=1.0, rng=0)(images, labels)
    tolerance = 2e-6 if dtype == torch.float32 else 1 / 256
    torch.testing.assert_close(mixed.float().mean((2, 3)), targets, atol=tolerance, rtol=0)
    assert (targets.max(1).values < 0.999).sum() > 5


@pytest.mark.parametrize("kind", MIXERS)
def test_the_seed_decides(kind: type[Mixer]) -> None:
    images = torch.randn(16, 3, 32, 32, device="cuda")
    labels = torch.randint(3, (16,), device="cuda")
    first, again = (kind(3, probability=1.0, rng=4)(images, labels) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
