"""The workflow runs what .ci/run runs, on the releases of Python that the package says it supports."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_imports import project

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
LOCAL = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
RELEASES = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def made(job: dict[str, Any]) -> list[str]:
    """The targets of make that a job asks for, in its order."""
    return [step["run"].split()[1] for step in job["steps"] if step.get("run", "").startswith("make ")]


def test_both_make_the_same_targets() -> None:
    match = re.search(r"^for target in (.*); do$", LOCAL, flags=re.MULTILINE)
    assert match
    local = {"install", *match[1].split()}
    assert local == {target for job in WORKFLOW["jobs"].values() for target in made(job)}
    for job in WORKFLOW["jobs"].values():
        assert made(job)[0] == "install"


def test_the_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in WORKFLOW["jobs"].values():
        for target in made(job):
            assert re.search(rf"^{target}:.*## ", makefile, flags=re.MULTILINE), target


def test_every_supported_release_is_tried() -> None:
    assert WORKFLOW["jobs"]["python"]["strategy"]["matrix"]["python"] == RELEASES
    told = [each.rpartition(" ")[2] for each in project()["classifiers"] if "Python :: 3." in each]
    assert told == RELEASES
    assert project()["requires-python"] == f">={RELEASES[0]}"


def test_one_failing_part_hides_no_other() -> None:
    steps = [step for step in WORKFLOW["jobs"]["python"]["steps"] if step.get("run", "").startswith("make ")]
    assert all(step["if"] == "success() || failure()" for step in steps[1:])


@pytest.mark.parametrize("job", WORKFLOW["jobs"])
def test_what_pip_downloads_is_kept(job: str) -> None:
    steps = WORKFLOW["jobs"][job]["steps"]
    assert any(step.get("with", {}).get("cache") == "pip" or "cache@" in step.get("uses", "") for step in steps)
