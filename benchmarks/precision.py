"""What lower precision costs: `python -m benchmarks.precision DIR [--precisions fp32 bf16] [--seeds 5] [--runs RUNS]`.

Gradients: of the generator's losses in each precision against those in float64, as the norm of the difference over the
norm. Accuracies: DIR holds images as `dataset.root` wants them; for every seed and precision a ChimeraMix+Seg
generator, a classifier with it and a baseline are trained in that precision, and the accuracies on the whole test set
are compared seed by seed. The runs stay in RUNS, so a repeated command trains what is missing only; the pictures of
seed 0 are put beside each other in `RUNS/pictures.png`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.record import write
from chimeramix.machine import Machine
from chimeramix.report.paired import half_width

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ("baseline", "chimeramix_segmentation")
SMALL = (
    *("generator.image_size=32", "generator.features=16", "generator.discriminator.features=16"),
    *("generator.batch_size=32", "generator.epochs=6"),
    *("model.width=2", "optimizer.lr=0.05", "optimizer.weight_decay=0.005", "epochs=3", "monitor.evaluate_every=0"),
)
"""Recipe of the accuracies, for a CPU; overrides on the command line replace it."""


def takes(role: str, experiment: str, word: str) -> bool:
    """Whether the command of this role takes this override: recipes of the other one are refused."""
    if word.startswith("generator."):
        return experiment != "baseline"
    return role == "classifier" or word.startswith("machine.")


def train(role: str, experiment: str, precision: str, seed: int, options: argparse.Namespace) -> None:
    words = [word for word in options.overrides if takes(role, experiment, word)]
    command = [
        *(sys.executable, str(ROOT / f"train_{role}.py"), "+dataset=own/image_folder", f"dataset.root={options.data}"),
        *(f"+experiment={experiment}", f"max_labels_per_class={options.samples}", f"seed={seed}"),
        *(f"machine.precision={precision}", f"machine.device={options.device}"),
        *(f"machine.runs_dir={options.runs / precision}", *words),
    ]
    subprocess.run(command, check=True, cwd=ROOT)


def accuracies(runs: Path) -> dict[str, dict[int, float]]:
    """In percent, by experiment and seed."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(runs.glob("classifier/*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(result["experiment"], {})[result["seed"]] = 100 * result["test"]["accuracy"]
    return found


def compared(own: dict[int, float], reference: dict[int, float]) -> dict[str, Any]:
    """Mean and spread, and the mean of the differences to the reference with its 95 % interval."""
    seeds = sorted(own.keys() & reference.keys())
    differences = [own[seed] - reference[seed] for seed in seeds]
    row = {"seeds": len(seeds), "mean": round(statistics.fmean(own[seed] for seed in seeds), 2)}
    if len(seeds) > 1:
        row["std"] = round(statistics.stdev(own[seed] for seed in seeds), 2)
    row["difference"] = round(statistics.fmean(differences), 2)
    width = half_width(differences)
    return row | {"half_width": None if width is None else round(width, 2)}


def beside_each_other(pictures: list[Path], target: Path) -> None:
    images = [Image.open(path).convert("RGB") for path in pictures]
    canvas = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        canvas.paste(image, (0, top))
        top += image.height
    canvas.save(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], help="the first is the reference")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5, help="images per class")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs/precision"))
    parser.add_argument("overrides", nargs="*", default=list(SMALL))
    options = parser.parse_args()
    options.data, options.runs = options.data.resolve(), options.runs.resolve()
    for seed in range(options.seeds):
        for precision in options.precisions:
            train("generator", EXPERIMENTS[-1], precision, seed, options)
            for experiment in EXPERIMENTS:
                train("classifier", experiment, precision, seed, options)
    found = {precision: accuracies(options.runs / precision) for precision in options.precisions}
    reference = found[options.precisions[0]]
    rows = {
        experiment: {precision: compared(found[precision][experiment], reference[experiment]) for precision in found}
        for experiment in EXPERIMENTS
    }
    for experiment, by_precision in rows.items():
        for precision, row in by_precision.items():
            print(f"{experiment:26} {precision:5} {row}")
    pictures = [sorted((options.runs / precision).glob("generator/*-s0-*/pictures*.png"))[-1] for precision in found]
    beside_each_other(pictures, options.runs / "pictures.png")
    words = [f"--precisions {' '.join(options.precisions)}", f"--seeds {options.seeds} --samples {options.samples}"]
    words += [f"--device {options.device}", *([] if options.overrides == list(SMALL) else options.overrides)]
    result = {"command": f"python -m benchmarks.precision DIR {' '.join(words)}", "accuracy": rows}
    device = Machine.choose(options.device, "fp32").device
    print(write("precision", torch.device(device), result))


if __name__ == "__main__":
    main()
