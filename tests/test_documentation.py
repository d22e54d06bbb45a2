"""The documentation site has a page for each public package; `make docs` builds it, with warnings as errors."""

import importlib
import inspect
import runpy
from pathlib import Path

import pytest

import chimeramix

PACKAGE = Path(chimeramix.__file__).parent
DOCS = PACKAGE.parent / "docs"
EXPORTING = sorted(path.parent for path in PACKAGE.glob("*/__init__.py") if "__all__" in path.read_text())
PUBLIC = ["chimeramix", *(f"chimeramix.{path.name}" for path in EXPORTING)]


def test_every_public_package_has_its_page() -> None:
    pages = {path.stem: path.read_text() for path in (DOCS / "api").glob("*.md")}
    assert sorted(pages) == PUBLIC
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n")


@pytest.mark.parametrize("name", PUBLIC[1:])
def test_every_public_name_has_a_docstring(name: str) -> None:
    """One of its own: autodoc leaves out what has none, and shows what is inherited."""
    package = importlib.import_module(name)
    objects = {public: getattr(package, public) for public in package.__all__}
    own = {public: vars(it)["__doc__"] if inspect.isclass(it) else it.__doc__ for public, it in objects.items()}
    assert [public for public, text in own.items() if not text] == []


def test_the_site_tells_the_packages_version() -> None:
    assert runpy.run_path(str(DOCS / "conf.py"))["release"] == chimeramix.__version__
