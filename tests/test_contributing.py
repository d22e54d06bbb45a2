"""The worked example of CONTRIBUTING.md works."""

import importlib
import re
import textwrap
from pathlib import Path

import pytest
import torch
import yaml

from chimeramix.config.checks import check_types
from chimeramix.config.compose import compose_settings
from chimeramix.runs.train import train
from tests.runs.tiny import CLASSIFIER, COMMON, folder_of

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## A new mixing method") : PAGE.index("## Tests")]
PYTHON, TEST = (textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL))
MIXER, EXPERIMENT = (textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", SECTION, flags=re.DOTALL))


def test_the_example_trains_and_its_test_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chimeramix.mixing

    package = tmp_path / "mixing"
    package.mkdir()
    (package / "stripemix.py").write_text(PYTHON)
    monkeypatch.setattr(chimeramix.mixing, "__path__", [*chimeramix.mixing.__path__, str(package)])
    for group, content in (("mixer", MIXER), ("experiment", EXPERIMENT)):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "stripemix.yaml").write_text(content)

    module = importlib.import_module("chimeramix.mixing.stripemix")
    names = {**vars(module), "torch": torch}
    exec(TEST, names)
    names["test_a_stripe_has_its_share_of_the_width"]()
    check_types(yaml.safe_load(MIXER), "mixer")

    words = [*COMMON, "+experiment=stripemix", *CLASSIFIER, f"machine.runs_dir={tmp_path / 'runs'}"]
    train(compose_settings("classifier", words, str(tmp_path / "conf")))
    assert (folder_of("classifier", tmp_path / "runs") / "result.json").exists()
