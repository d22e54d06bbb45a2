"""Mistakes in a file of the user's own options."""

import pytest

from tests.bad_input.words import DIGITS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lrr: 1", "experiment/foo.yaml: unknown key lrr; did you mean optimizer.lr?"),
        ("optimizer: {lrr: 1}", "unknown key optimizer.lrr; did you mean optimizer.lr?"),
        ("machine: {devic: cpu}", "experiment/foo.yaml: unknown key machine.devic; did you mean machine.device?"),
        ("recipe: {lrr: 1}", "experiment/foo.yaml: unknown key recipe.lrr; did you mean recipe.lr?"),
        ("seed: first", "experiment/foo.yaml: seed=first: must be a whole number"),
        ("mixer: {probability: often}", "unknown key mixer.probability"),
        ("model: {dropout: often}", "model.dropout=often: must be a number"),
        ("defaults: [override /model: resnet5]", "did you mean resnet50?"),
        ("defaults: [override /modell: resnet50]", "there is no config group modell; did you mean model?"),
        ("model: 5", "there is no model here: choose one with model=NAME (harmonic_resnet18,"),
        ("seed: [1", "not valid YAML: "),
    ],
)
def test_mistakes_in_an_experiment_file(text, expected, refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text(f"# @package _global_\n{text}\n")
    words = (DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert expected in refusal("classifier", *words)
    assert expected in refusal("classifier", *words, "--cfg", "job")


@pytest.mark.parametrize("text", ["seed: 3", "mixer: {alpha: 2}", "defaults: [override /mixer: mixup]\nmethod: My"])
def test_an_experiment_without_its_first_line(text, refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text(f"{text}\n")
    line = refusal("classifier", "--config-dir", str(tmp_path / "more"), DIGITS, "+experiment=foo")
    assert line == "experiment/foo.yaml: its first line must be: # @package _global_"


def test_a_file_that_is_no_text(refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    path = tmp_path / "more" / "experiment" / "foo.yaml"
    path.write_bytes(b"\x89PNG\r\n\x00\xff")
    line = refusal("classifier", "--config-dir", str(tmp_path / "more"), DIGITS, "+experiment=foo")
    assert line == f"{path}: not a text file in UTF-8, as options are: replace or remove it"


def test_the_mending_command_keeps_a_folder_of_options(refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text("# @package _global_\ndefaults: [chimeramix_grid]\n")
    line = refusal("classifier", DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert f"train_generator.py --config-dir={tmp_path}/more +dataset=demo/digits +experiment=foo" in line
