"""What mixing costs, beside a training step: `python -m benchmarks.mixers [--device cuda]`.

Each mixer mixes the same batch of 128 images of 32 x 32 pixels; the step is a forward and backward pass and an update
of a ResNet-18 with CIFAR stem on such a batch, in float32 (bfloat16 autocast on a GPU). Rounds are alternated, so that
a machine's other work meets all alike; the median is reported.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from benchmarks.record import milliseconds, write
from chimeramix.machine import Machine
from chimeramix.mixing import AGMix, CutMix, FMix, GMix, GridMix, MiAMix, MixUp, SaliencyMix
from chimeramix.models import resnet

BATCH, SIZE, CLASSES = 128, 32, 10


def mixers() -> dict[str, Callable[..., Any]]:
    return {
        "MixUp": MixUp(CLASSES, rng=0),
        "CutMix": CutMix(CLASSES, rng=0),
        "FMix": FMix(CLASSES, rng=0),
        "GridMix": GridMix(CLASSES, rng=0),
        "GMix": GMix(CLASSES, rng=0),
        "AGMix": AGMix(CLASSES, rng=0),
        "AGMix, exact": AGMix(CLASSES, scale="exact", rng=0),
        "SaliencyMix": SaliencyMix(CLASSES, probability=1, rng=0),
        "MiAMix": MiAMix(CLASSES, rng=0),
        "torchvision v2.MixUp (one ratio a batch)": v2.MixUp(num_classes=CLASSES),
        "torchvision v2.CutMix (one box a batch)": v2.CutMix(num_classes=CLASSES),
    }


def training_step(device: torch.device) -> Callable[..., None]:
    model = resnet(CLASSES, "resnet18", "cifar").to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step(images: torch.Tensor, targets: torch.Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(images)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    Machine.choose(arguments.device, "fp32", False).make_reproducible()  # the allocator's setting, above all
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator).to(device)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator).to(device)
    targets = F.one_hot(labels, CLASSES).float()
    step = training_step(device)
    calls: dict[str, Callable[[], Any]] = {
        name: (lambda mixer=mixer: mixer(images, labels)) for name, mixer in mixers().items()
    }
    times: dict[str, list[float]] = {"step": [], **{name: [] for name in calls}}
    for number in range(arguments.rounds + 1):
        rounds = {"step": milliseconds(lambda: step(images, targets), 20 if device.type == "cuda" else 1, device)}
        rounds |= {name: milliseconds(call, 20, device) for name, call in calls.items()}
        if number:  # the first round warms up
            for name, value in rounds.items():
                times[name].append(value)
    medians = {name: statistics.median(values) for name, values in times.items()}
    whole = medians.pop("step")
    rows = {name: {"ms": round(ms, 3), "percent_of_step": round(100 * ms / whole, 3)} for name, ms in medians.items()}
    print(f"a step of ResNet-18, batch {BATCH}: {whole:.1f} ms")
    for name, row in rows.items():
        print(f"{name:42} {row['ms']:8.3f} ms {row['percent_of_step']:7.3f} %")
    command = f"python -m benchmarks.mixers --device {arguments.device} --rounds {arguments.rounds}"
    path = write("mixers", device, {"command": command, "step_ms": round(whole, 1), "mixers": rows})
    print(path)


if __name__ == "__main__":
    main()
