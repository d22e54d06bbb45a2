"""Which configuration a package has, and what its entry points are called."""

import shlex
from pathlib import Path

import pytest

import chimeramix
from chimeramix.config import place
from chimeramix.errors import UserError
from chimeramix.runs.commands import generator_command
from chimeramix.sweep.status import runs_of_command, split_command
from chimeramix.tuning.options import Options
from chimeramix.tuning.search import read_search

ROOT = Path(chimeramix.__file__).parents[1]
DIGITS = "+dataset=demo/digits"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package had been installed from a wheel: no scripts lie beside the configuration."""
    (tmp_path / "site-packages" / "chimeramix" / "conf").mkdir(parents=True)
    monkeypatch.setattr(place, "CONFIG_DIR", place.config_dir(tmp_path / "site-packages" / "chimeramix"))


def test_a_checkout_has_its_configuration_beside_the_package() -> None:
    assert place.CONFIG_DIR == ROOT / "conf"
    assert place.config_dir(ROOT / "chimeramix") == ROOT / "conf"


def test_an_installed_package_has_its_own_and_not_anothers_beside_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "chimeramix"
    (package / "conf").mkdir(parents=True)
    (tmp_path / "site-packages" / "conf").mkdir()
    assert place.config_dir(package) == package / "conf"


def test_in_a_checkout_commands_name_the_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert generator_command([DIGITS, "mixer.probability=1"]) == f"python train_generator.py {DIGITS}"
    own_schedule = "schedule@generator.schedule=cosine"  # not the classifier's
    assert generator_command([DIGITS, own_schedule, "schedule=cosine"]).endswith(f" {DIGITS} {own_schedule}")
    monkeypatch.chdir(tmp_path)
    assert generator_command([DIGITS]) == f"python {ROOT / 'train_generator.py'} {DIGITS}"


@pytest.mark.usefixtures("installed")
def test_elsewhere_they_name_the_installed_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert generator_command([DIGITS, "mixer.probability=1"]) == f"chimeramix train-generator {DIGITS}"
    with pytest.raises(UserError, match=r"command: train-classifier \+dataset"):
        runs_of_command(Path("runs"), ["seed=0,1"])
    with pytest.raises(UserError, match=r"train-classifier \+dataset"):
        read_search([], Options())


@pytest.mark.parametrize(
    "words",
    [
        "train_generator.py a=1 --multirun",
        "python train_generator.py a=1 --multirun",
        "python3 ../chimeramix/train_generator.py a=1 --multirun",
        "train-generator a=1 --multirun",
        "chimeramix train-generator a=1 --multirun",
    ],
)
def test_status_and_tune_read_every_name_of_an_entry_point(words: str) -> None:
    assert split_command(shlex.split(words)) == ("generator", ["a=1", "--multirun"])


@pytest.mark.parametrize("words", ["", "chimeramix", "python", "chimeramix status", "a=1", "train_generator a=1"])
def test_they_take_nothing_else_for_one(words: str) -> None:
    assert split_command(shlex.split(words))[0] == ""


def test_a_search_is_the_same_by_either_name(tmp_path: Path) -> None:
    words = [DIGITS, "max_labels_per_class=4", "optimizer.lr=0.1,0.2", f"machine.runs_dir={tmp_path}"]
    words.append("hydra/launcher=basic")  # there may be no Slurm
    first, second = (
        read_search([name, *words], Options()).study for name in ("train_classifier.py", "train-classifier")
    )
    assert first.identity == second.identity
    assert first.about["command"] == second.about["command"]
