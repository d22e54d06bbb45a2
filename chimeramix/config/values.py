"""Values as the command line has them: `0.10`, `null`, `true`, `[1,2]`, `5,10`, `range(0,3)`."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

from chimeramix.errors import UserError


def read_condition(word: str) -> tuple[str, list[Any]]:
    """The key and the values of `KEY=VALUE`, several for a sweep's list or range.

    Text that the command line would want in quotes (`é`, `(`) is taken as it stands. Raises `UserError` where there is
    no key.
    """
    key, equals, text = word.partition("=")
    if not key.strip() or not equals:
        raise UserError(f"{word}: not of the form KEY=VALUE")
    try:
        override = OverridesParser.create().parse_override(word)
        values: list[Any] = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    except HydraException:
        values = [text]
    return key.strip(), [value.text if isinstance(value, QuotedString) else value for value in values]
