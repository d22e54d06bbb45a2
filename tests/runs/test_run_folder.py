"""What a run leaves in its folder, what it prints, and what Weights & Biases gets."""

import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from chimeramix.config.compose import compose_settings
from chimeramix.data.digits import Digits
from chimeramix.data.loader import EpochLoader
from chimeramix.data.subset import draw_subset
from chimeramix.data.views import Normalize, Views
from chimeramix.machine import Machine
from chimeramix.runs import assembly
from chimeramix.runs import train as package_runs
from chimeramix.runs.train import folders_of
from chimeramix.streams import RunStreams
from chimeramix.training import loop
from chimeramix.training.tracking import Tracker
from chimeramix.types import Batch, Subset
from tests.runs.tiny import assert_same_run, figures, run

ROOT = Path(__file__).resolve().parents[2]


def read(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / name).read_text()))


EVERY_RUN = {
    "config.yaml",
    "spec.json",
    "split.json",
    "environment.json",
    "metrics.jsonl",
    "train.log",
    "checkpoint.pt",
    "result.json",
}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}


def test_files_of_a_generator(uninterrupted: dict[str, Path]) -> None:
    folder = uninterrupted["generator"]
    assert files(folder) == EVERY_RUN | {"generator.safetensors", "pictures/epoch_0002.png"}
    assert folder.name.startswith("digits-n2-chimera_segments-s0-")
    assert read(folder, "result.json")["test"] is None


def test_files_of_a_classifier(uninterrupted: dict[str, Path]) -> None:
    folder = uninterrupted["classifier"]
    assert files(folder) == EVERY_RUN | {"classifier.safetensors", "confusion.png", "accuracy.png", "per_class.csv"}
    assert folder.name.startswith("digits-n2-chimeramix_segmentation-s0-")
    for picture in ("confusion.png", "accuracy.png"):
        with Image.open(folder / picture) as image:
            assert np.asarray(image.convert("L")).std() > 1  # something is drawn


def test_the_result_record(uninterrupted: dict[str, Path]) -> None:
    result = read(uninterrupted["classifier"], "result.json")
    test = result.pop("test")
    assert test.keys() == {"accuracy", "top5", "macro_accuracy", "loss"}
    assert 0 <= test["accuracy"] <= test["top5"] <= 1
    assert 0 <= test["macro_accuracy"] <= 1
    assert result.pop("seconds") > 0
    assert result.pop("flops") > 0  # see test_flops.py
    weights = (uninterrupted["classifier"] / "classifier.safetensors").read_bytes()
    assert result.pop("weights_sha256") == hashlib.sha256(weights).hexdigest()
    (stretch,) = result.pop("stretches")  # see test_sources.py
    assert (stretch["from"], stretch["to"]) == (0, 10)
    assert result.pop("device").startswith("cpu")
    assert result == {
        "format": 1,
        "role": "classifier",
        "dataset": "digits",
        "experiment": "chimeramix_segmentation",
        "method": "ChimeraMix+Seg",
        "augment": "flip_crop",
        "model": "wideresnet_10_2 (width=1, dropout=0.3)",
        "max_labels_per_class": 2,
        "seed": 0,
        "split_seed": 0,
        "identity": uninterrupted["classifier"].name.rsplit("-", 1)[-1],
        "generator_identity": uninterrupted["generator"].name.rsplit("-", 1)[-1],
        "epochs": 2,
        "steps": 10,
        "num_train": 20,
        "num_test": 1000,
    }


def test_the_result_is_the_last_epochs(uninterrupted: dict[str, Path]) -> None:
    """Not the best one's: and the stored weights give the same figure."""
    folder = uninterrupted["classifier"]
    records = figures(folder)["records"]
    assert [record["epoch"] for record in records] == [1, 2]
    assert read(folder, "result.json")["test"] == records[-1]["test"]
    from chimeramix.models import WideResNet

    model = WideResNet(num_classes=10, depth=10, width=1, dropout=0.3).eval()
    model.load_state_dict(load_file(folder / "classifier.safetensors"))
    source = Digits("digits", 32, [0.5] * 3, [0.5] * 3)
    part = source.test()
    images = Normalize(source.mean, source.std, torch.device("cpu"))(part.read(range(1000)))
    with torch.no_grad():
        predicted = torch.cat([model(chunk) for chunk in images.split(100)]).argmax(1)
    assert (predicted == part.labels).double().mean() == pytest.approx(records[-1]["test"]["accuracy"], abs=0.0011)


def test_the_split_is_the_official_draw(uninterrupted: dict[str, Path]) -> None:
    split = read(uninterrupted["classifier"], "split.json")
    part = Digits("digits", 32, [0.5] * 3, [0.5] * 3).train()
    assert split["indices"] == draw_subset(part.labels, 2, 0, part.classes)
    assert split["labels"] == part.labels[split["indices"]].tolist()
    assert split == read(uninterrupted["generator"], "split.json")


def test_records_of_an_epoch(uninterrupted: dict[str, Path]) -> None:
    lines = [json.loads(line) for line in (uninterrupted["generator"] / "metrics.jsonl").read_text().splitlines()]
    keys = {"epoch", "step", "lr", "adversarial", "reconstruction", "perceptual", "discriminator"}
    assert [line.keys() for line in lines] == [keys | {"seconds", "images_per_second"}] * 2
    assert [line["step"] for line in lines] == [5, 10]


def test_a_finished_run_is_reported_without_training(
    uninterrupted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(package_runs, "parts_of", None)  # would fail if a training were built
    with caplog.at_level("INFO"):
        run("generator", uninterrupted["generator"].parents[1])
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("done already: ")


def test_rerun_starts_anew(tmp_path: Path) -> None:
    first = run("generator", tmp_path)
    stale = first / "pictures" / "stale.png"
    stale.touch()
    before = figures(first)
    run("generator", tmp_path, "rerun=true")
    assert not stale.exists()
    assert figures(first) == before


def test_a_finished_run_may_drop_its_checkpoint(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    folder = run("generator", tmp_path, "monitor.keep_checkpoint=false")
    assert not (folder / "checkpoint.pt").exists()
    assert_same_run(folder, uninterrupted["generator"])


class Nothing:
    """A training without content, to see what the loop prints."""

    learning_rate = 0.1

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        subset = Subset(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.long), 1)
        normalize = Normalize([0.5] * 3, [0.5] * 3, torch.device("cpu"))
        streams = RunStreams(0, torch.device("cpu"))
        views = Views(subset, lambda images, segments, rng: (images, segments), normalize, streams["augment"])
        self.loader = EpochLoader(views, 1, 1, streams["order"])

    def step(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": torch.ones(())}

    def advance(self, samples: int) -> None: ...

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def fit(epochs: int, folder: Path) -> None:
    cpu = torch.device("cpu")
    loop.fit(Nothing(epochs), RunStreams(0, cpu), folder, "identity", Machine(cpu), Tracker(), 1000)


@pytest.mark.parametrize(("epochs", "most"), [(200, 200), (450, 151), (20, 20)])
def test_at_most_two_hundred_lines(
    epochs: int, most: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    with caplog.at_level("INFO"):
        fit(epochs, tmp_path)
    assert len(caplog.messages) <= most
    assert caplog.messages[-1].startswith(f"epoch {epochs}/{epochs}")
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == epochs


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_on_a_terminal_only(
    terminal: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    fit(3, tmp_path)
    assert ("step/s" in capsys.readouterr().err) == terminal


def test_the_classifier_leaves_its_generator_as_it_is(
    uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[torch.nn.Module] = []
    load = assembly.trained_generator

    def kept(*arguments: Any) -> torch.nn.Module:
        networks.append(load(*arguments))
        return networks[-1]

    monkeypatch.setattr(assembly, "trained_generator", kept)
    generator = uninterrupted["generator"]
    shutil.copytree(generator, tmp_path / "generator" / generator.name)
    run("classifier", tmp_path, "mixer.probability=1")
    (network,) = networks
    stored = load_file(generator / "generator.safetensors")
    state = network.state_dict()
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name]) for name in stored)


def test_files_can_be_read_by_whom_the_umask_allows(uninterrupted: dict[str, Path]) -> None:
    for folder in uninterrupted.values():
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}
        assert len({mode for name, mode in modes.items() if name != ".lock"}) == 1, modes


@pytest.mark.parametrize("role", ["generator", "classifier"])
def test_a_finished_run_knows_its_command(uninterrupted: dict[str, Path], role: str) -> None:
    python, script, *words = shlex.split(read(uninterrupted[role], "environment.json")["command"])
    assert (python, Path(script).name) == ("python", f"train_{role}.py")
    assert folders_of(compose_settings(role, words), {})[0].identity in uninterrupted[role].name


def test_the_first_line_tells_parameters_and_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "chimeramix"):
        folder = run("classifier", tmp_path, experiment="baseline")
    first = (folder / "train.log").read_text().splitlines()[0]
    tensors = load_file(folder / "classifier.safetensors")
    count = sum(t.numel() for name, t in tensors.items() if "running_" not in name and "num_batches" not in name)
    steps = read(folder, "result.json")["steps"]
    assert f"20 images of 10 classes, {count:,} parameters, {steps:,} steps, cpu" in first
