"""What a training step's time is made of: `python -m benchmarks.profile [--device cuda] [...]`.

PyTorch's profiler adds up the time of operations (on a CPU) or kernels (on a GPU) by what they are for, over the
product's own steps, with loader, mixing and metrics. `idle` is the share of a step without the
profiler in which a GPU computed nothing.
"""

import argparse
import re
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.record import add_machine, machine_of, milliseconds, variant, words_of, write
from benchmarks.steps import STEPS, product_step
from benchmarks.synthetic import parts_of, with_segments
from chimeramix.machine import Machine

KINDS = {  # the first that matches; names of PyTorch's operations and of CUDA's kernels
    "optimiser": r"fused_(sgd|adam)|multi_tensor|\b_?amp_",
    "convolution": r"conv(?!ert)|gemm|xmma|cutlass|fprop|dgrad|wgrad|addmm|mm$|(?<!bi)linear|winograd|nchwTo|nhwcTo",
    "normalisation": r"batch_norm|instance_norm|bn_|norm_",
    "compiled": r"^graph_|cpp_fused|triton|CompiledF|inductor",
    "padding, concatenation": r"pad|\bcat\b|Cat|flip|stack",
    "activation": r"relu|threshold|tanh|sigmoid|clamp",
    "copies, precision": r"copy|_to_|cast|clone|contiguous|Memcpy|convert",
    "random numbers, gathering": r"rand|uniform|gather|index|scatter|sort|distribution",
    "resizing": r"upsample|interpolate",
    "memory": r"empty|zero|fill|Memset|resize_|free",
    "elementwise": r"add|mul|sub|div|lerp|square|pow|elementwise|where|sum|mean|mse|softmax|nll|reduce",
}


def kind_of(name: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "other")


def shares(name: str, folder: Path, machine: Machine) -> dict[str, float]:
    """Percent of the step's time by kind, the largest first, and the step's ms without the profiler."""
    role, _, overrides = STEPS[name]
    parts = with_segments(parts_of(role, machine, folder, *overrides), machine)
    step, on_gpu = product_step(parts, machine), machine.device.type == "cuda"
    repeats = 50 if on_gpu else 3
    with machine.own_stream():
        milliseconds(step, 20 if on_gpu else 3, machine.device)  # set-up, memory
        plain = milliseconds(step, repeats, machine.device)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as profiler:
            milliseconds(step, repeats, machine.device)
    microseconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        on_device = event.device_type == torch.autograd.DeviceType.CUDA
        if on_gpu == on_device and not event.is_user_annotation:
            spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            microseconds[kind_of(event.key)] += spent
    whole = sum(microseconds.values())
    if on_gpu:
        microseconds["idle"] = max(plain * repeats * 1000 - whole, 0.0)
        whole += microseconds["idle"]
    rows = {kind: round(100 * spent / whole, 1) for kind, spent in microseconds.items()}
    ordered = sorted(rows.items(), key=lambda row: -row[1])
    return {"step_ms": round(plain, 3)} | {kind: share for kind, share in ordered if share >= 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_machine(parser)
    options = parser.parse_args()
    machine = machine_of(options)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in STEPS:
            rows[name] = shares(name, Path(folder), machine)
            print(f"{name:28} {rows[name]}", flush=True)
    result = {"command": f"python -m benchmarks.profile {words_of(options)}", "percent": rows}
    print(write(f"profile-{variant(options)}", machine.device, result))


if __name__ == "__main__":
    main()
