"""What a run is: the values its numbers depend on, and the identity that names them.

`chimeramix.config.schema` marks the keys that are not part of an identity; all others are.
"""

import dataclasses
import hashlib
import json
from dataclasses import MISSING, asdict, is_dataclass
from typing import Any

from chimeramix.config.schema import Config
from chimeramix.config.targets import FIRST_TARGETS, LATER_KEYS

_DEFAULTS = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in dataclasses.fields(Config)
}
FORMAT = 1  # of specs and result records; raised when old ones can no longer be read


def generator_spec(config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    """All that a generator's weights depend on: data, subset, seed, its own sub-configuration (mask included).

    Args:
        facts: of the data set; see `chimeramix.types.DataSource.facts`.
    """
    return {"format": FORMAT, "role": "generator", **_identifying(config, "generator"), "facts": facts}


def classifier_spec(config: Config, facts: dict[str, Any], generator_identity: str | None) -> dict[str, Any]:
    """The same for a classifier; its generator counts by identity, and only where its mixer uses one."""
    values = _identifying(config, "classifier")
    return {"format": FORMAT, "role": "classifier", **values, "facts": facts, "generator": generator_identity}


def keys_of(role: str) -> list[str]:
    """The root's keys that the identity of a run of this role is made of."""
    fields = dataclasses.fields(Config)
    counted = [field for field in fields if field.metadata["identity"] and field.metadata.get("stage") in (None, role)]
    return [field.name for field in counted]


def identity_of(spec: dict[str, Any]) -> str:
    """12 hexadecimal digits of the SHA-256 of the spec's canonical JSON, in which 1 and 1.0 are the same number."""
    canonical = json.dumps(_canonical(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def size_name(samples_per_class: int | None) -> str:
    """`max_labels_per_class` as tables and folders have it."""
    return "all" if samples_per_class is None else str(samples_per_class)


def size_order(samples_per_class: int | None) -> float:
    """Sorts "all" behind every number."""
    return float("inf") if samples_per_class is None else samples_per_class


def _identifying(config: Config, role: str) -> dict[str, Any]:
    optional = [field.name for field in dataclasses.fields(Config) if field.metadata.get("optional")]
    values = {key: getattr(config, key) for key in keys_of(role)}
    values = {key: value for key, value in values.items() if key not in optional or value != _DEFAULTS[key]}
    values = {
        key: _section(value) if is_dataclass(value) and not isinstance(value, type) else value
        for key, value in values.items()
    }
    # The facts stand for a folder's content, so the same images in another place are the same data set.
    dataset = {key: value for key, value in config.dataset.items() if key != "root"}
    return {**values, "dataset": dataset}


def _section(section: Any) -> dict[str, Any]:
    """A section of the configuration without the optional keys that have their default."""
    optional = {field.name: field.default for field in dataclasses.fields(section) if field.metadata.get("optional")}
    values = asdict(section)
    return {key: value for key, value in values.items() if key not in optional or value != optional[key]}


def _canonical(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        later = LATER_KEYS.get(value.get("_target_", ""), {})
        kept = {name: item for name, item in value.items() if name not in later or item != later[name]}
        return {name: _canonical(item, name) for name, item in kept.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if key == "_target_":
        return FIRST_TARGETS.get(value, value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
