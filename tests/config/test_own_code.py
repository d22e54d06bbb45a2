"""Python modules beside one's own configuration files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chimeramix.config.compose import compose_settings
from chimeramix.config.own_code import own_folders
from chimeramix.errors import UserError
from chimeramix.runs.train import train
from chimeramix.runs.trained import read_classifier
from tests.runs.tiny import COMMON, folder_of

CODE = """
from torch import nn


class Mean(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, num_classes))

    def forward(self, images):
        return self.layers(images)
"""


@pytest.fixture(autouse=True)
def _the_path_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def parts(folder: Path, module: str) -> Path:
    """A folder with a model of one's own."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "mean.yaml").write_text(f"_target_: {module}.Mean\n")
    (folder / f"{module}.py").write_text(CODE)
    return folder


def test_a_run_finds_its_module_and_so_does_who_uses_the_run_later(tmp_path: Path) -> None:
    own = parts(tmp_path / "parts", "a_mean")
    words = [*COMMON, "+experiment=baseline", "model=mean", "epochs=1", "batch_size=20", "epoch_labels_per_class=2"]
    train(compose_settings("classifier", [*words, f"machine.runs_dir={tmp_path}"], str(own)))
    folder = folder_of("classifier", tmp_path)
    assert json.loads((folder / "environment.json").read_text())["own_folders"] == [str(own)]
    program = f"from pathlib import Path; import chimeramix; chimeramix.load_classifier({str(folder)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)

    sys.path.remove(str(own))
    del sys.modules["a_mean"]
    own.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError) as told:
        read_classifier(folder)
    remedy = "is gone: put it back, or name its new place in PYTHONPATH"
    assert str(told.value).startswith(f"{folder}: its own modules were in {own}, which {remedy} (model._target_=a_mean")


def test_a_job_of_a_sweep_finds_it(tmp_path: Path) -> None:
    """In a process of its own, which has nothing but the job's file."""
    own = parts(tmp_path / "parts", "b_mean")
    words = [*COMMON, "+experiment=baseline", "model=mean", "epochs=1", "batch_size=20", "epoch_labels_per_class=2"]
    words += [f"machine.runs_dir={tmp_path}", "hydra/launcher=local", "seed=0,1", "--multirun", f"--config-dir={own}"]
    subprocess.run([sys.executable, "train_classifier.py", *words], check=True)
    assert len(list((tmp_path / "classifier").glob("*/result.json"))) == 2


def test_the_folders_that_a_command_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    words = [f"--config-dir={first}", f"hydra.searchpath=['{second}']", "seed=1", f"--config-dir={tmp_path / 'gone'}"]
    assert own_folders(words) == [first, second]
