"""Parts of the user's own, or a library's, that can't do a run's work."""

import pytest

from tests.bad_input.words import BASELINE, DIGITS

# Name: an option's group and content, then parts of the line.
MISFITS = {
    "layer for a model": (
        ("model", "_target_: torch.nn.Linear\nin_features: 32\nout_features: 10\n"),
        "model: gives [2, 3, 32, 10] for B=2; a model makes of images [B, 3, 32, 32] their logits [B, 10]",
    ),
    "layer of another size": (
        ("model", "_target_: torch.nn.Linear\nin_features: 7\nout_features: 10\n"),
        "model: RuntimeError: ",
        "a model makes of images",
    ),
    "constructor": (
        ("model", "_target_: torch.nn.Conv2d\nin_channels: 3\nout_channels: 8\nkernel_size: [a, b]\n"),
        "model",
    ),
    "loss of class numbers": (
        ("loss", "_target_: torch.nn.NLLLoss\n"),
        "loss: RuntimeError: ",
        "a loss takes logits [B, K] and soft targets [B, K]",
    ),
    "loss of each image": (("loss", "_target_: torch.nn.CrossEntropyLoss\nreduction: none\n"), "loss: gives [2]; a"),
}


@pytest.mark.parametrize(
    ("option", "expected"), [pytest.param(option, expected, id=name) for name, (option, *expected) in MISFITS.items()]
)
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_parts_that_do_not_fit(option, expected, sweep, refusal, tmp_path):
    group, content = option
    (tmp_path / "more" / group).mkdir(parents=True)
    (tmp_path / "more" / group / "own.yaml").write_text(content)
    words = ("--config-dir", str(tmp_path / "more"), *BASELINE, f"{group}=own", "max_labels_per_class=2")
    line = refusal("classifier", *words, *(("seed=0,1", "hydra/launcher=basic", "--multirun") if sweep else ()))
    for part in expected:
        assert part in line


def test_a_loss_of_a_library_that_fits(command, tmp_path):
    (tmp_path / "more" / "loss").mkdir(parents=True)
    (tmp_path / "more" / "loss" / "own.yaml").write_text("_target_: torch.nn.CrossEntropyLoss\n")
    words = (DIGITS, "loss=own", "max_labels_per_class=2", "epochs=1", "epoch_labels_per_class=2", "model.width=1")
    status, _, lines = command("classifier", "--config-dir", str(tmp_path / "more"), *words, "machine.device=cpu")
    assert status == 0, lines
