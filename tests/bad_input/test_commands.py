"""Commands that are no mistakes, and mistakes that a sweep or a process of its own tells."""

import subprocess
import sys

import pytest

from tests.bad_input.words import BASELINE, GRID, ROOT, TINY, tree


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
    for part in ("chimeramix_segmentation", "dataset/demo: digits", "max_labels_per_class: 10"):
        assert part in out


def test_a_sweep_tells_failed_jobs_and_goes_on(command):
    """Runs whose settings are fine, but not their data: told job by job, and with status 1 at the end."""
    words = (*BASELINE, *TINY, "max_labels_per_class=500,2", "hydra/launcher=basic", "--multirun")
    status, _, lines = command("classifier", *words)
    assert status == 1
    # Once when it happened, once in the summary.
    assert sum("max_labels_per_class is 500" in line for line in lines) == 2
    assert any("test accuracy" in line for line in lines)
    assert lines[-1].startswith("error: 1 done, 1 failed of 2 runs; for the rest repeat: python ")


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
