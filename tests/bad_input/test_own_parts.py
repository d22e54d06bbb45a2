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

LINEAR = "_target_: torch.nn.Linear\nin_features: 32\nout_features: 10\n"


@pytest.mark.parametrize(
    ("role", "group", "expected"),
    [
        ("classifier", "mixer", "mixer._target_=torch.nn.Linear: is no Mixer (chimeramix.mixing.base)"),
        ("classifier", "loss", "loss: TypeError: "),
        ("classifier", "procedure", "procedure._target_=torch.nn.Linear: is no Procedure"),
        ("classifier", "average", "average._target_=torch.nn.Linear: is no Average"),
        ("classifier", "augment", "augment: TypeError: "),
        ("classifier", "erase", "erase: TypeError: "),
        ("classifier", "optimizer", "optimizer._partial_=false: must be true"),
        ("generator", "generator", "generator._target_=torch.nn.Linear: is no Generator (chimeramix.generators.base)"),
    ],
)
def test_a_layer_in_place_of_a_part(role, group, expected, refusal, tmp_path):
    (tmp_path / "more" / group).mkdir(parents=True)
    (tmp_path / "more" / group / "own.yaml").write_text(LINEAR)
    assert expected in refusal(role, "--config-dir", str(tmp_path / "more"), DIGITS, f"{group}=own")


def test_a_class_that_is_no_data_set(refusal, tmp_path):
    (tmp_path / "more" / "dataset").mkdir(parents=True)
    dataset = "# @package _global_\ndefaults: [demo/digits]\ndataset:\n  _target_: tests.bad_input.words.NoDataSet\n"
    (tmp_path / "more" / "dataset" / "own.yaml").write_text(dataset)
    line = refusal("classifier", "--config-dir", str(tmp_path / "more"), "+dataset=own")
    assert line == "dataset._target_=tests.bad_input.words.NoDataSet: is no data set, it has no image_size"


def test_a_function_in_place_of_a_model(refusal, tmp_path):
    (tmp_path / "more" / "model").mkdir(parents=True)
    (tmp_path / "more" / "model" / "own.yaml").write_text("_target_: fractions.Fraction\nnumerator: 1\n")
    line = refusal("classifier", "--config-dir", str(tmp_path / "more"), *BASELINE, "model=own")
    assert line == "model._target_=fractions.Fraction: is no Module (torch.nn.modules.module)"


def test_a_layer_in_place_of_a_schedule(refusal):
    line = refusal("classifier", *BASELINE, "schedule._target_=torch.nn.ReLU")
    assert line.startswith("schedule: TypeError: ")
    assert "a schedule makes of the share of the training" in line


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
