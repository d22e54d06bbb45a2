"""The documentation site: `make docs`.

Its source is the whole repository, so that the pages' relative links are the same here and where the repository is
browsed: README.md, CONTRIBUTING.md and CHANGELOG.md are pages of the site as those of docs/ are.
"""

from typing import Any

from chimeramix import __version__

project = "chimeramix"
author = "the chimeramix authors"
project_copyright = author
release = version = __version__

root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md"]
exclude_patterns = [".*", "benchmarks", "build", "chimeramix", "conf", "data", "dist", "docs/_build", "examples"]
exclude_patterns += ["multirun", "outputs", "runs", "tests", "tools", "wandb"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3  # as where the repository is browsed

default_role = "py:obj"  # single backticks of docstrings: code, and a link where it is a name of the reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True, "special-members": "__call__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # what `Attributes:` names may have a docstring of its own, too
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"chimeramix {release}"
html_extra_path = ["site"]  # leads from the site's root to the first page


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _skip)


def _skip(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out a call that has nothing to say beyond the class."""
    return True if name == "__call__" and not member.__doc__ else None
