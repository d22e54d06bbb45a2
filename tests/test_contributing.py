"""The worked examples of CONTRIBUTING.md work, and the files that it names exist."""

import importlib
import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from chimeramix.config.checks import check_types
from chimeramix.config.compose import compose_settings
from chimeramix.runs.train import train
from tests.runs.tiny import CLASSIFIER, COMMON, folder_of

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(section: str, language: str) -> list[str]:
    """The code blocks of a section."""
    text = PAGE[PAGE.index(f"## {section}") :].split("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)]


def made(room: str, name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `chimeramix.ROOM.NAME` with this content, as if it stood in the package."""
    (folder / room).mkdir()
    (folder / room / f"{name}.py").write_text(code)
    package = importlib.import_module(f"chimeramix.{room}")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / room)])
    return importlib.import_module(f"chimeramix.{room}.{name}")


def write_option(folder: Path, group: str, name: str, content: str) -> None:
    (folder / "conf" / group).mkdir(parents=True, exist_ok=True)
    (folder / "conf" / group / f"{name}.yaml").write_text(content)


def trained(folder: Path, *words: str) -> Path:
    train(compose_settings("classifier", [*words, f"machine.runs_dir={folder / 'runs'}"], str(folder / "conf")))
    return folder_of("classifier", folder / "runs")


def test_the_mixing_method_trains_and_its_test_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, test = blocks("A new mixing method", "python")
    mixer, experiment = blocks("A new mixing method", "yaml")
    module = made("mixing", "stripemix", code, tmp_path, monkeypatch)
    names = {**vars(module), "torch": torch}
    exec(test, names)
    names["test_a_stripe_has_its_share_of_the_width"]()
    check_types(yaml.safe_load(mixer), "mixer")
    write_option(tmp_path, "mixer", "stripemix", mixer)
    write_option(tmp_path, "experiment", "stripemix", experiment)
    assert (trained(tmp_path, *COMMON, "+experiment=stripemix", *CLASSIFIER) / "result.json").exists()


def test_the_data_set_and_the_model_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each other."""
    (data,), (dataset,) = (blocks("A new data set", language) for language in ("python", "yaml"))
    (code,), (model,) = (blocks("A new model", language) for language in ("python", "yaml"))
    made("data", "stripes", data, tmp_path, monkeypatch)
    tiny = made("models", "tiny", code, tmp_path, monkeypatch)
    assert f"{sum(p.numel() for p in tiny.Tiny(10).parameters())} parameters" in model
    write_option(tmp_path, "dataset/more", "stripes", dataset)
    write_option(tmp_path, "model", "tiny", model)
    words = ["+dataset=more/stripes", "max_labels_per_class=5", "model=tiny", "machine.device=cpu"]
    folder = trained(tmp_path, *words)
    assert folder.name.startswith("stripes-n5-")
    assert (folder / "result.json").exists()


def test_the_files_that_are_named_exist() -> None:
    text = PAGE[PAGE.index("## Where things are") : PAGE.index("## A new mixing method")]
    named = re.findall(r"`([\w./]+(?:\.py|\.json|/))`", text)
    assert len(named) > 30
    lost = [
        name
        for name in named
        if name != "result.json" and not any((parent / name).exists() for parent in (ROOT, ROOT / "chimeramix"))
    ]
    assert not lost
