"""Makes chimeramix/report/papers.csv of the papers' tables: `python -m tools.paper_figures FOLDER`.

The folder holds a CSV per table (columns paper, table, dataset, method, samples_per_class, metric, mean, std, model,
note). Kept is what this program can train, under its names, each figure once though several tables may repeat it.
"""

import csv
import math
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "chimeramix" / "report" / "papers.csv"

# Tables of ablations and of other protocols are left out: their conditions are not in our result records.
TABLES = (
    *(("ChimeraMix", table) for table in (1, 2, 3, 4)),
    ("cGLO", 1),
    ("MiAMix", 2),
)
DATASETS = {
    "ciFAIR-10": "cifair10",
    "ciFAIR-100": "cifair100",
    "STL-10": "stl10",
    "CIFAR-10": "cifar10",
    "CIFAR-100": "cifar100",
}
MODELS = {
    "WRN-16-8": "wideresnet_16_8",
    "WRN-28-10": "wideresnet_28_10",
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "ResNeXt-50": "resnext50",
    "scattering+WRN": "scattering",
}
METHODS = {
    "Vanilla": "Baseline",
    "Cosine": "Cosine Loss",
    "Mixup": "MixUp",
    "cGLO": "GLICO",
    "AutoAugment": "Baseline + AutoAugment",
    "TrivialAugment": "Baseline + TrivialAugment",
}
PIXELS = {"GridMix": "GridMix (pixels)", "SegMix": "SegMix (pixels)"}  # of ChimeraMix's table 3, not OpenMixup's


def main(folder: Path) -> None:
    figures: dict[tuple[str, ...], dict[str, str]] = {}
    for paper, table in TABLES:
        with (folder / f"{paper.lower()}_table{table}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if not row["mean"] or row["metric"] != "top1":
                    continue
                if row["dataset"] not in DATASETS or row["model"] not in MODELS:
                    continue
                if row["method"] == "AutoMix" or row["method"].startswith("Barz"):
                    continue  # not in this program
                method = METHODS.get(row["method"], row["method"])
                if paper == "ChimeraMix":
                    method = PIXELS.get(method, method)
                    for policy in ("AutoAugment", "TrivialAugment"):
                        if method.startswith("ChimeraMix"):
                            method = method.replace(f"+{policy}", f" + {policy}")
                std, note = row["std"], row["note"]
                if std and "standard error over 3 runs" in note:
                    std, note = f"{float(std) * math.sqrt(3):.2f}", "std from the standard error over 3 runs"
                key = (DATASETS[row["dataset"]], MODELS[row["model"]], method, row["samples_per_class"])
                figures.setdefault(
                    key,
                    {
                        "dataset": key[0],
                        "model": key[1],
                        "method": method,
                        "samples_per_class": row["samples_per_class"],
                        "mean": row["mean"],
                        "std": std,
                        "paper": paper,
                        "table": str(table),
                        "note": note,
                    },
                )
    with TARGET.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(next(iter(figures.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(figures.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
