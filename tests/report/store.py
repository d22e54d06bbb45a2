"""Finished runs as training leaves them, cut down to what a report reads."""

import json
from pathlib import Path
from typing import Any

import yaml


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
    precision: str = "fp32",
) -> Path:
    """Adds a classifier's folder and, if given one's learning rate, its generator's.

    Args:
        settings: further groups and keys of the configuration.
        root: of a folder of images, with the facts of those.
    """
    spec: dict[str, Any] = {
        "format": 1,
        "role": "classifier",
        "max_labels_per_class": samples_per_class,
        "seed": seed,
        "split_seed": seed,
        "dataset": {"name": dataset},
        "optimizer": {"lr": lr},
        "generator": None,
        **(settings or {}),
        "facts": facts or {},
    }
    config = {**spec, "dataset": {"name": dataset, "root": root}, "machine": {"precision": precision}}
    if generator_lr is not None:
        spec["generator"] = f"g{seed}{generator_lr}"
        generator = runs / "generator" / f"some-name-{spec['generator']}"
        generator.mkdir(parents=True, exist_ok=True)
        generator_spec = {"seed": seed, "split_seed": seed, "generator": {"optimizer": {"lr": generator_lr}}}
        (generator / "spec.json").write_text(json.dumps(generator_spec))
    count = len(list((runs / "classifier").glob("*"))) if (runs / "classifier").exists() else 0
    folder = runs / "classifier" / f"{dataset}-n{samples_per_class}-{method.replace('/', '_')}-s{seed}-{count:012x}"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = {
        "dataset": dataset,
        "max_labels_per_class": samples_per_class,
        "model": model,
        "augment": augment,
        "method": method,
        "seed": seed,
        "split_seed": seed,
        "test": {"accuracy": accuracy, "top5": min(1.0, accuracy + 0.3), "macro_accuracy": accuracy},
    }
    (folder / "result.json").write_text(json.dumps(result))
    if metrics is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in metrics))
    return folder
