"""How a measurement is made, on what, and where it is kept."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import torchvision

from chimeramix.machine import Machine

RESULTS = Path(__file__).parent / "results"


def circumstances(device: torch.device) -> dict[str, Any]:
    """Date, commit, versions, processor or card, threads."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """The options that choose how a benchmark computes."""
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16", "fp16"])
    parser.add_argument("--compile", default="false", choices=["false", "true", "graphs", "full"])


def machine_of(options: argparse.Namespace) -> Machine:
    """The machine that they choose, set up as a run sets it up."""
    compile = {"false": False, "true": True}.get(options.compile, options.compile)
    machine = Machine.choose(options.device, options.precision, compile)
    machine.make_reproducible()
    return machine


def words_of(options: argparse.Namespace) -> str:
    return f"--device {options.device} --precision {options.precision} --compile {options.compile}"


def variant(options: argparse.Namespace) -> str:
    """Part of a result's name: `bf16`, `bf16-graphs`."""
    return options.precision if options.compile == "false" else f"{options.precision}-{options.compile}"


def milliseconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Per call; on a GPU from the first launch to the end of the last kernel."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats * 1e3


def peak_memory(device: torch.device) -> float:
    """GB that PyTorch took of a GPU at most, or that were resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_own_process(module: str, *words: str) -> dict[str, Any]:
    """What `python -m MODULE WORDS` prints as its last line, in JSON."""
    output = subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
    return row


def write(name: str, device: torch.device, result: dict[str, Any]) -> Path:
    """Writes `results/<name>-<cpu or cuda>.json`, replacing an older one."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{device.type}.json"
    path.write_text(json.dumps({"machine": circumstances(device), **result}, indent=2) + "\n", encoding="utf-8")
    return path
