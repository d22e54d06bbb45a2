"""What a run is: the values its numbers depend on, and the identity that names them."""

import hashlib
import json
from typing import Any

CLASSIFIER_KEYS = (
    "epochs",
    "batch_size",
    "epoch_labels_per_class",
    "optimizer",
    "schedule",
    "model",
    "augment",
    "erase",
    "mixer",
    "loss",
    "procedure",
)
"""What a classifier's numbers depend on and its generator's do not."""

FORMAT = 1  # of specs and result records; raised when the same values would give other numbers


def generator_spec(values: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """All that a generator's weights depend on: data, subset, seed, its own sub-configuration (mask included)."""
    return {"format": FORMAT, "role": "generator", **_common(values, facts), "generator": values["generator"]}


def classifier_spec(values: dict[str, Any], facts: dict[str, Any], generator_identity: str | None) -> dict[str, Any]:
    """The same for a classifier; its generator counts by identity, and only where its mixer uses one."""
    return {
        "format": FORMAT,
        "role": "classifier",
        **_common(values, facts),
        # What is not chosen is left out, so that a group added to the program changes no identity.
        **{key: values[key] for key in CLASSIFIER_KEYS if values[key] is not None},
        "generator": generator_identity,
    }


def identity_of(spec: dict[str, Any]) -> str:
    """12 hexadecimal digits of the SHA-256 of the spec's canonical JSON, in which 1 and 1.0 are the same number."""
    canonical = json.dumps(_canonical(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def identity_in(folder_name: str) -> str:
    """The identity at the end of a run folder's name."""
    return folder_name.rsplit("-", 1)[-1]


def size_name(samples_per_class: int | None) -> str:
    """`max_labels_per_class` as tables and folders have it."""
    return "all" if samples_per_class is None else str(samples_per_class)


def size_order(samples_per_class: int | None) -> float:
    """Sorts "all" behind every number."""
    return float("inf") if samples_per_class is None else samples_per_class


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _common(values: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    # The facts stand for a folder's content, so the same images in another place are the same data set.
    dataset = {key: value for key, value in values["dataset"].items() if key != "root"}
    keys = ("max_labels_per_class", "seed", "split_seed")
    return {"dataset": dataset, "facts": facts, **{key: values[key] for key in keys}}
