"""What the wheel and the sdist hold, built here without an isolated environment; `make test-wheel` installs them."""

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import chimeramix

ROOT = Path(chimeramix.__file__).parents[1]


def build(place: Path, *options: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={place}", *options, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def files_in(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, bytes]:
    (path,) = built.glob("*.whl")
    return files_in(path)


def tracked(*folders: str) -> set[str]:
    """Files of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("what belongs to the repository is known to git alone")
    done = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_wheel_holds_the_package_and_the_configuration_in_it(wheel: dict[str, bytes]) -> None:
    expected = {name.replace("conf/", "chimeramix/conf/", 1) for name in tracked("conf")} | tracked("chimeramix")
    found = {name for name in wheel if ".dist-info/" not in name}
    assert expected <= found
    others = {name for name in found - expected if Path(name).suffix not in (".py", ".yaml")}
    assert not others, "only files of the package that git does not know yet"
    assert {"chimeramix/py.typed", "chimeramix/data/digits.npz", "chimeramix/report/papers.csv"} <= found
    assert wheel["chimeramix/conf/base.yaml"] == (ROOT / "conf" / "base.yaml").read_bytes()


def test_the_wheel_brings_licence_and_command(wheel: dict[str, bytes]) -> None:
    (licence,) = (name for name in wheel if name.endswith(".dist-info/licenses/LICENSE"))
    assert wheel[licence] == (ROOT / "LICENSE").read_bytes()
    (scripts,) = (name for name in wheel if name.endswith(".dist-info/entry_points.txt"))
    assert wheel[scripts].decode().split("\n", 1) == ["[console_scripts]", "chimeramix = chimeramix.console:main\n"]


def metadata(wheel: dict[str, bytes]) -> Message:
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel[name].decode())


def test_the_metadata(wheel: dict[str, bytes]) -> None:
    told = metadata(wheel)
    assert (told["Name"], told["Version"]) == ("chimeramix", chimeramix.__version__)
    assert (told["License-Expression"], told["License-File"]) == ("MIT", "LICENSE")
    assert told.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    needed = [each for each in told.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert [each.split(">")[0] for each in needed] == ["torch"]


def test_a_wheel_of_the_sdist_is_that_of_the_checkout(wheel: dict[str, bytes], tmp_path: Path) -> None:
    build(tmp_path, "--wheel")
    (path,) = tmp_path.glob("*.whl")
    assert files_in(path) == wheel


def test_the_sdist_is_the_repository(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() <= found
    assert not {name for name in found if name.startswith((".venv", "runs/", "data/", "docs/_build"))}
