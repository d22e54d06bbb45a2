"""The commands of the installed wheel, as a new user would type them in an empty folder.

`make test-wheel` installs the wheel into a fresh environment and runs this; without one it is skipped. Another command
is another test with `shell.succeeds`; finished runs are in `shell.generator` and `shell.classifier`.
"""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import chimeramix
from tests.runs.tiny import CLASSIFIER, COMMON, GENERATOR

VARIABLE = "CHIMERAMIX_TEST_WHEEL"  # the folder with the environment's programs
ROOT = Path(chimeramix.__file__).parents[1]

pytestmark = pytest.mark.skipif(VARIABLE not in os.environ, reason="needs an installed wheel: make test-wheel")

WORDS = shlex.join([*COMMON, "+experiment=chimeramix_grid", *GENERATOR])
CLASSIFIERS_WORDS = shlex.join([*COMMON, "+experiment=chimeramix_grid", *GENERATOR, *CLASSIFIER])


@dataclass(frozen=True)
class Shell:
    """A shell in a folder outside of the repository; the environment's programs come before the system's."""

    folder: Path

    def run(self, line: str) -> "subprocess.CompletedProcess[str]":
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CHIMERAMIX"))}
        environment = {**kept, "PATH": f"{os.environ[VARIABLE]}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True)
        print(f"$ {line}\n{done.stdout}{done.stderr}")
        return done

    def succeeds(self, line: str) -> str:
        """What a command that ends with 0 printed."""
        done = self.run(line)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def fails(self, line: str, status: int) -> str:
        """The line on stderr of a command that ends otherwise."""
        done = self.run(line)
        assert done.returncode == status
        (told,) = done.stderr.splitlines()
        return told

    @property
    def generator(self) -> Path:
        (found,) = (self.folder / "runs" / "generator").iterdir()
        return found.relative_to(self.folder)

    @property
    def classifier(self) -> Path:
        (found,) = (self.folder / "runs" / "classifier").glob("*-s0-*")
        return found.relative_to(self.folder)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("new user"))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """With a generator and its classifier in `runs`."""
    trained = Shell(tmp_path_factory.mktemp("after training"))
    trained.succeeds(f"chimeramix train-generator {WORDS}")
    trained.succeeds(f"chimeramix train-classifier {CLASSIFIERS_WORDS}")
    return trained


def test_it_is_the_installed_package(empty: Shell) -> None:
    assert empty.succeeds("chimeramix --version") == f"chimeramix {chimeramix.__version__}\n"
    told = empty.succeeds("python -c 'import chimeramix; print(chimeramix.__file__)'")
    assert not Path(told).is_relative_to(ROOT)
    assert empty.succeeds("pip show chimeramix | grep ^Version:").split()[1] == chimeramix.__version__


def test_it_finds_its_configuration(empty: Shell) -> None:
    assert "site-packages/chimeramix/conf" in empty.succeeds("chimeramix train-classifier --info searchpath")
    printed = empty.succeeds("chimeramix train-classifier --help")
    assert printed.startswith("chimeramix train-classifier +dataset=NAME")
    assert "train_generator.py" not in printed
    composed = empty.succeeds("chimeramix train-generator +dataset=cifair10 +experiment=glico --cfg job --resolve")
    assert "chimeramix.generators.GlicoGenerator" in composed


def test_data_sets_are_prepared(empty: Shell) -> None:
    assert "demo/digits is ready: 10 classes, 797 training" in empty.succeeds("chimeramix prepare demo/digits")


def test_what_it_tells_to_type_works(empty: Shell) -> None:
    told = empty.fails(f"chimeramix train-classifier {CLASSIFIERS_WORDS}", 2)
    command = told.partition("train it with: ")[2]
    assert command.startswith("chimeramix train-generator +dataset=demo/digits")
    empty.succeeds(f"{command} --cfg job")


def test_runs_are_trained_and_reported(shell: Shell) -> None:
    assert "done already" in shell.succeeds(f"chimeramix train-classifier {CLASSIFIERS_WORDS}")
    result = json.loads((shell.folder / shell.classifier / "result.json").read_text())
    assert result["method"] == "ChimeraMix+Grid"
    environment = json.loads((shell.folder / shell.classifier / "environment.json").read_text())
    assert environment["command"] == f"chimeramix train-classifier {CLASSIFIERS_WORDS}"
    assert environment["git_commit"] is None
    assert environment["packages"]["chimeramix"] == chimeramix.__version__
    assert "ChimeraMix+Grid" in shell.succeeds("chimeramix report runs")
    assert "classifiers: 1 done" in shell.succeeds("chimeramix status")


def test_a_sweep(empty: Shell) -> None:
    words = shlex.join([*COMMON, "+experiment=mixup", *CLASSIFIER, "seed=0,1"])
    sweep = f"chimeramix train-classifier {words} hydra/launcher=local machine.runs_dir=sweep --multirun"
    assert "all 2 runs are done" in empty.succeeds(sweep)
    asked = f"chimeramix status sweep chimeramix train-classifier {words.replace('seed=0,1', 'seed=0,1,2')}"
    printed = empty.succeeds(asked)
    assert "classifiers: 2 done, 1 missing" in printed
    assert "\n  chimeramix train-classifier +dataset=demo/digits" in printed
    assert "MixUp" in empty.succeeds("chimeramix report sweep --format markdown")


def test_a_mistake_is_told_in_one_line(empty: Shell) -> None:
    assert "did you mean demo/digits?" in empty.fails("chimeramix train-classifier +dataset=demo/digit", 2)


@pytest.fixture(scope="module")
def photos(shell: Shell) -> Path:
    """A folder with three images."""
    folder = shell.folder / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("L", (40, 30), 80 * number).save(folder / f"{number}.png")
    return folder.relative_to(shell.folder)


def test_predictions(shell: Shell, photos: Path) -> None:
    shell.succeeds(f"chimeramix predict {shell.classifier} {photos} --format csv --out predicted.csv")
    header, *lines = (shell.folder / "predicted.csv").read_text().splitlines()
    assert header == "file,class,probability"
    assert [line.split(",")[0] for line in lines] == [f"photos/{number}.png" for number in range(3)]


def test_in_python(shell: Shell, photos: Path) -> None:
    program = f"import chimeramix as c; m = c.load_classifier('{shell.classifier}'); "
    program += f"print(len(m.classes), *m(m.preprocess('{photos}/0.png')[None]).shape)"
    assert shell.succeeds(f'python -W error -c "{program}"').split() == ["10", "1", "10"]


def test_evaluations(shell: Shell) -> None:
    printed = shell.succeeds(f"chimeramix evaluate {shell.classifier}")
    assert "accuracy" in printed
    assert (shell.folder / shell.classifier / "evaluation-digits.json").exists()


def test_synthesised_images(shell: Shell) -> None:
    shell.succeeds(f"chimeramix synthesise {shell.generator} --per-class 2 --out composed")
    assert len(list((shell.folder / "composed").glob("*/*.png"))) == 20
    assert len((shell.folder / "composed.jsonl").read_text().splitlines()) == 20


def test_exports(shell: Shell, photos: Path) -> None:
    for form, name in (("pt2", "classifier.pt2"), ("onnx", "classifier.onnx"), ("hub", "hub")):
        assert f"written: {shell.classifier}/{name}" in shell.succeeds(
            f"chimeramix export {shell.classifier} --format {form}"
        )
    by_run, by_folder = (
        shell.succeeds(f"chimeramix predict {folder} {photos} --format csv")
        for folder in (shell.classifier, shell.classifier / "hub")
    )
    assert by_run == by_folder
    program = f"import torch; p = torch.export.load('{shell.classifier}/classifier.pt2').module(); "
    program += "print(*p(torch.zeros(2, 3, 40, 30, dtype=torch.uint8)).shape)"
    assert shell.succeeds(f'python -c "{program}"').split()[-2:] == ["2", "10"]


def test_parts_of_ones_own(shell: Shell, photos: Path) -> None:
    """A model in a folder outside of the package, which `predict` finds by itself."""
    parts = shell.folder / "parts"
    (parts / "model").mkdir(parents=True)
    (parts / "model" / "flat.yaml").write_text("_target_: flat.Flat\n")
    (parts / "flat.py").write_text(
        "from torch import nn\n\n\nclass Flat(nn.Sequential):\n    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))\n"
    )
    words = shlex.join([*COMMON, "+experiment=baseline", "model=flat", "epochs=1", "machine.runs_dir=own"])
    shell.succeeds(f"chimeramix train-classifier {words} epoch_labels_per_class=4 --config-dir=parts")
    assert "3 images" in shell.succeeds(f"chimeramix predict own/classifier/* {photos}")
