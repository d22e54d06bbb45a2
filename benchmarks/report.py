"""How long the report of a big store takes: `python -m benchmarks.report [--runs 5000]`.

Makes a store of simulated runs — real specs of the papers' sweep, made-up accuracies — in a temporary folder and times
`chimeramix report` on it as a process of its own; the files were just written, so none is read from a disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from chimeramix.config.compose import Tree, compose_settings
from chimeramix.config.sweep import read_sweep
from chimeramix.runs.spec import classifier_spec, generator_spec, identity_of

EXPERIMENTS = (
    "baseline",
    "mixup",
    "cutmix",
    "cutout",
    "cosine",
    "miamix",
    "chimeramix_grid",
    "chimeramix_segmentation",
)
SIZES = (5, 10, 20, 30, 50, 100)
DATASETS = ("cifair10", "cifair100")


def simulate(runs: Path, count: int) -> None:
    """Writes the folders of `count` finished classifiers, and of their generators."""
    seeds = -(-count // (len(DATASETS) * len(EXPERIMENTS) * len(SIZES)))
    rng = np.random.default_rng(0)
    words = [f"machine.runs_dir={runs}", f"max_labels_per_class={','.join(map(str, SIZES))}", f"seed=range(0,{seeds})"]
    written = 0
    for dataset, experiment in product(DATASETS, EXPERIMENTS):
        classes = 10 if dataset == "cifair10" else 100
        facts = {"classes": [f"class {number}" for number in range(classes)], "fingerprint": "0" * 64}
        for settings in read_sweep(
            Tree("classifier"), [f"+dataset={dataset}", f"+experiment={experiment}", *words]
        ).runs:
            if written == count:
                return
            config, generator = settings.config, None
            if config.generator is not None:
                spec = generator_spec(config, facts)
                generator = identity_of(spec)
                write_folder(runs / "generator" / f"{dataset}-n0-simulated-s0-{generator}", spec, {}, 0)
            spec = classifier_spec(config, facts, generator)
            identity = identity_of(spec)
            result = {
                "role": "classifier",
                "dataset": dataset,
                "method": config.method,
                "augment": "flip_crop",
                "model": "wideresnet_16_8",
                "max_labels_per_class": config.max_labels_per_class,
                "seed": config.seed,
                "split_seed": config.split_seed,
                "identity": identity,
                "steps": 10000,
                "seconds": 600.0,
                "num_test": 10000,
                "stretches": [{"from": 0, "to": 10000, "precision": "fp32"}],
                "test": {key: float(rng.uniform(0.2, 0.7)) for key in ("accuracy", "top5", "macro_accuracy", "loss")},
            }
            write_folder(runs / "classifier" / f"{dataset}-n0-simulated-s0-{identity}", spec, result, epochs=20)
            written += 1


def write_folder(folder: Path, spec: dict[str, Any], result: dict[str, Any], epochs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec, indent=2))
    if result:
        (folder / "result.json").write_text(json.dumps(result, indent=2))
    records = [
        {"epoch": epoch, "step": 500 * epoch, "loss": 2 / epoch, "train_accuracy": 1 - 0.8 / epoch}
        for epoch in range(1, epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def seconds(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "chimeramix", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--runs", type=int, default=5000)
    count = parser.parse_args().runs
    compose_settings("classifier", ["+dataset=cifair10"])  # refuses a broken configuration before anything is written
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        simulate(runs, count)
        timings = {
            "report": min(seconds("report", str(runs)) for _ in range(3)),
            "report --compare": seconds("report", str(runs), "--compare", "ChimeraMix+Seg", "Baseline"),
            "report --where": seconds("report", str(runs), "--where", "max_labels_per_class=5,10"),
            "report --format runs-csv": seconds("report", str(runs), "--format", "runs-csv"),
            "report --plots": seconds("report", str(runs), "--plots", str(Path(folder) / "plots")),
            "status": seconds("status", str(runs)),
        }
    for name, value in timings.items():
        print(f"{name:25}{value:6.2f} s")
    timings = {name: round(value, 2) for name, value in timings.items()}
    command = f"python -m benchmarks.report --runs {count}"
    print(write("report", torch.device("cpu"), {"command": command, "runs": count, "seconds": timings}))


if __name__ == "__main__":
    main()
