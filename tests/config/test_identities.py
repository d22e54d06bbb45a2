"""Identities that runs have on people's disks: a refactoring keeps them.

`identities.json` holds those of every experiment, of every data set and of every option of the groups, by command. A
change of defaults or of results may want others: then note it in the changelog as **(changes results)** and write the
new ones into the file.
"""

import json
from pathlib import Path

import pytest

from chimeramix.config.compose import compose_settings
from chimeramix.runs.train import folders_of

IDENTITIES = json.loads(Path(__file__).with_name("identities.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", IDENTITIES)
def test_the_identity_stays(command: str) -> None:
    role, *words = command.split()
    assert folders_of(compose_settings(role, words), {})[0].identity == IDENTITIES[command]
