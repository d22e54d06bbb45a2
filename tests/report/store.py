"""Finished runs as training leaves them, cut down to what a report reads."""

import json
from pathlib import Path
from typing import Any

import yaml

from chimeramix.runs.spec import identity_of


def add_run(
    runs: Path,
    method: str = "Baseline",
    seed: int = 0,
    accuracy: float = 0.5,
    *,
    dataset: str = "cifair10",
    model: str = "wideresnet_16_8",
    samples_per_class: int | None = 5,
    augment: str = "flip_crop",
    lr: float = 0.1,
    generator_lr: float | None = None,
    metrics: list[dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    root: str | None = None,
    facts: dict[str, Any] | None = None,
    precision: str | None = None,
) -> Path:
    """Adds a classifier's folder and, if given one's learning rate, its generator's.

    Args:
        settings: further groups and keys of the configuration.
        root: of a folder of images, with the facts of those.
    """
    spec: dict[str, Any] = {
        "format": 1,
        "role": "classifier",
        "dataset": {"name": dataset},
        "model": {"name": model},
        "mixer": {"name": method},
        "augment": {"name": augment},
        "max_labels_per_class": samples_per_class,
        "seed": seed,
        "split_seed": seed,
        "optimizer": {"lr": lr},
        "generator": None,
        **(settings or {}),
        "facts": facts or {},
    }
    config = {**spec, "dataset": {"name": dataset, "root": root}, "machine": {"precision": precision or "fp32"}}
    if generator_lr is not None:
        generator_spec = {
            "role": "generator",
            "seed": seed,
            "split_seed": seed,
            "generator": {"optimizer": {"lr": generator_lr}},
        }
        spec["generator"] = identity_of(generator_spec)
        generator = runs / "generator" / f"some-name-{spec['generator']}"
        generator.mkdir(parents=True, exist_ok=True)
        (generator / "spec.json").write_text(json.dumps(generator_spec))
    name = f"{dataset}-n{samples_per_class}-{method.replace('/', '_')}-s{seed}-{identity_of(spec)}"
    folder = runs / "classifier" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    metrics_there = {"accuracy": accuracy, "top5": min(1.0, accuracy + 0.3), "macro_accuracy": accuracy}
    more: dict[str, Any] = {"stretches": [{"from": 0, "to": 10, "precision": precision}]} if precision else {}
    if "validation" in spec:
        more |= {"test": None, "num_test": None, "validation": metrics_there, "num_validation": 10}
    else:
        more |= {"test": metrics_there}
    write_record(folder, spec, dataset=dataset, model=model, augment=augment, method=method, **more)
    if metrics is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in metrics))
    return folder


def write_record(folder: Path, spec: dict[str, Any], **more: Any) -> None:
    """Makes a folder that of a finished classifier."""
    (folder / "spec.json").write_text(json.dumps(spec))
    result = {
        "role": "classifier",
        "dataset": "digits",
        "max_labels_per_class": spec.get("max_labels_per_class"),
        "model": "wideresnet_10_2",
        "augment": "flip_crop",
        "method": "Baseline",
        "seed": spec.get("seed", 0),
        "split_seed": spec.get("split_seed", 0),
        "identity": identity_of(spec),
        "steps": 10,
        "seconds": 1.5,
        "num_test": 1000,
        "test": {"accuracy": 0.5, "top5": 0.8, "macro_accuracy": 0.5},
    }
    (folder / "result.json").write_text(json.dumps({**result, **more}))
