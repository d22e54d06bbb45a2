"""Commands that are no mistakes, and mistakes that a sweep or a process of its own tells."""

import os
import subprocess
import sys

import pytest

from tests.bad_input.words import BASELINE, GRID, ROOT, TINY, image_folder, tree


def test_nothing_to_do_is_no_mistake(command, tmp_path):
    before = tree(tmp_path)
    assert command("generator", *BASELINE) == (0, "", ["baseline trains no generator: nothing to do"])
    assert tree(tmp_path) == before


def test_dry_run_prints_the_configuration(command, tmp_path):
    before = tree(tmp_path)
    status, out, lines = command("classifier", "--cfg", "job", "--resolve", *GRID, "seed=3")
    assert (status, lines) == (0, [])
    assert "\nsplit_seed: 3\n" in out
    assert "${" not in out
    assert tree(tmp_path) == before


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_help_shows_options_and_keys(role, command):
    status, out, lines = command(role, "--help")
    assert (status, lines) == (0, [])
    for part in (
        "chimeramix_segmentation",
        "dataset/demo: digits",
        "max_labels_per_class      images per class; null: all",
    ):
        assert part in out


def test_a_sweep_reports_failed_jobs_and_goes_on(command, tmp_path):
    """Runs whose settings are fine, but not their images: named job by job, and with status 1 at the end."""
    good, bad = image_folder(tmp_path / "good"), image_folder(tmp_path / "bad")
    (bad / "train/cat/0.png").write_bytes(b"no image")
    words = ("+dataset=own/image_folder", f"dataset.root={bad},{good}", "dataset.image_size=8", "+experiment=baseline")
    status, _, lines = command("classifier", *words, *TINY, "hydra/launcher=basic", "--multirun")
    assert status == 1
    # Once when it happened, once in the summary.
    assert sum("train/cat/0.png can't be read" in line for line in lines) == 2
    assert any("test accuracy" in line for line in lines)
    assert lines[-1].startswith("error: 1 done, 1 failed of 2 runs; for the rest repeat: python ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--help",), "max_labels_per_class"),
        (("--info", "config"), "max_labels_per_class"),
        (("--shell-completion", "query=bash"), ""),
    ],
    ids=lambda value: value[0].removeprefix("--") if isinstance(value, tuple) else "",
)
def test_hydra_answers_in_a_process_of_its_own(words, expected, tmp_path):
    """Here no other command has made the schema known before."""
    script = str(ROOT / "train_classifier.py")
    line = {"COMP_LINE": f"python {script} model.wi", "COMP_POINT": "999"}
    done = subprocess.run(
        [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **line}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


@pytest.mark.parametrize("words", [(*BASELINE, "lrr=1"), (*BASELINE, "model.dropout=1"), ("--cfg", "job", "+lrr=1")])
def test_mistakes_in_a_process_of_its_own(words, tmp_path):
    """The same once more without this process's help."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_classifier.py"), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_one_run_is_no_plural(command):
    words = (*BASELINE, *TINY, "model.width=1", "seed=0", "hydra/launcher=basic", "--multirun")
    status, _, lines = command("classifier", *words)
    assert (status, lines[0], lines[-1]) == (0, "1 run: 1 missing", "the run is done")
