"""What lower precision costs: `python -m benchmarks.precision DIR [--precisions fp32 bf16] [--seeds 5] [--runs RUNS]`.

Gradients: of the generator's losses on 8 pairs of noise, after 20 steps in float32 from its initial weights, in each
precision but fp16 against float64; the norm of the difference over the norm, for all weights together and the largest
of any layer. Accuracies: DIR holds images as `dataset.root` wants them; for every seed and precision a ChimeraMix+Seg
generator, a classifier with it and a baseline are trained in that precision, and the accuracies on the whole test set
are compared seed by seed. The runs stay in RUNS, so a repeated command trains what is missing only; the pictures of
seed 0 are put below each other in `RUNS/pictures.png`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.record import write
from benchmarks.synthetic import parts_of
from chimeramix.machine import Machine
from chimeramix.report.paired import half_width
from chimeramix.streams import RandomStream

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


def trained_a_little(device: str, folder: Path) -> dict[str, Any]:
    """The state of a generator's training after 20 steps."""
    machine = Machine.choose(device, "fp32")
    machine.make_reproducible()
    training: Any = parts_of("generator", machine, folder, "+experiment=chimeramix_grid").training
    for number in range(20):
        training.step(training.loader.batch((torch.arange(8, device=machine.device) + number) % 50, True))
        training.advance(8)
    return dict(training.state_dict())


def gradients(state: dict[str, Any], device: str, precision: str, folder: Path) -> list[torch.Tensor]:
    """Of the generator's losses, layer by layer, in float64; biases, whose gradient norms cancel, left out."""
    machine = Machine.choose(device, "fp32" if precision == "fp64" else precision)
    machine.make_reproducible()
    parts = parts_of("generator", machine, folder, "+experiment=chimeramix_grid")
    generator: Any = parts.training.generator  # type: ignore[attr-defined]
    generator.network.load_state_dict(state["network"])
    generator.discriminator.load_state_dict(state["discriminator"])
    first, partner = (parts.views.plain(torch.arange(start, start + 8, device=machine.device)) for start in (0, 10))
    if precision == "fp64":
        for module in (generator.network, generator.discriminator, generator.perceptual):
            module.double()
        first, partner = (replace(batch, images=batch.images.double()) for batch in (first, partner))
    generator.step(first, partner, RandomStream(0, machine.device))
    return [one.grad.double() for one in generator.network.parameters() if one.ndim > 1]


def gradient_errors(device: str, precisions: list[str]) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = trained_a_little(device, folder)
        exact = gradients(state, device, "fp64", folder)
        rows = {}
        for precision in precisions:
            if precision == "fp16":
                continue  # its loss is scaled, and overflows first
            found = gradients(state, device, precision, folder)
            squares = [
                ((one - other).square().sum(), other.square().sum()) for one, other in zip(found, exact, strict=True)
            ]
            together = (sum(square for square, _ in squares) / sum(norm for _, norm in squares)) ** 0.5
            rows[precision] = {
                "all": float(f"{float(together):.2g}"),
                "worst_layer": float(f"{max(float((square / norm).sqrt()) for square, norm in squares):.2g}"),
            }
        return rows


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
    errors = gradient_errors(options.device, options.precisions)
    for name, error in errors.items():
        print(f"gradients in {name}: {error}")
    for experiment, by_precision in rows.items():
        for precision, row in by_precision.items():
            print(f"{experiment:26} {precision:5} {row}")
    pictures = [sorted((options.runs / precision).glob("generator/*-s0-*/pictures/*.png"))[-1] for precision in found]
    beside_each_other(pictures, options.runs / "pictures.png")
    words = [f"--precisions {' '.join(options.precisions)}", f"--seeds {options.seeds} --samples {options.samples}"]
    words += [f"--device {options.device}", *([] if options.overrides == list(SMALL) else options.overrides)]
    result = {
        "command": f"python -m benchmarks.precision DIR {' '.join(words)}",
        "gradient_error": errors,
        "accuracy": rows,
    }
    device = Machine.choose(options.device, "fp32").device
    print(write("precision", torch.device(device), result))


if __name__ == "__main__":
    main()
