"""Settings for tests that are about something else than their composition.

Hydra takes a fifth of a second for each, and most tests of runs choose the same options. So these are composed as a
sweep's: `tests/config/test_sweep.py` holds that they are the same.
"""

from collections.abc import Iterable
from functools import cache

from chimeramix.config.compose import hydra_ready
from chimeramix.config.settings import Settings
from chimeramix.config.sweep import Composer
from chimeramix.config.tree import Tree


def composed(role: str, words: Iterable[str]) -> Settings:
    """What `compose_settings` returns."""
    composer = _composer(role)
    with hydra_ready(composer.tree):
        return composer.settings(list(words))


@cache
def _composer(role: str) -> Composer:
    return Composer(Tree(role))
