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
        ("model: 5", "there is no model here: choose one with model=NAME (resnet18,"),
        ("seed: [1", "not valid YAML: "),
    ],
)
def test_mistakes_in_an_experiment_file(text, expected, refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text(f"# @package _global_\n{text}\n")
    words = (DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert expected in refusal("classifier", *words)
    assert expected in refusal("classifier", *words, "--cfg", "job")


def test_the_mending_command_keeps_a_folder_of_options(refusal, tmp_path):
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "foo.yaml").write_text("# @package _global_\ndefaults: [chimeramix_grid]\n")
    line = refusal("classifier", DIGITS, "+experiment=foo", "--config-dir", str(tmp_path / "more"))
    assert f"train_generator.py --config-dir={tmp_path}/more +dataset=demo/digits +experiment=foo" in line
