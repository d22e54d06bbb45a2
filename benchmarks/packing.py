"""What packing gains: `python -m benchmarks.packing [--device cuda] [--runs 8] [--pack 1 2 4]`.

Trains the same small runs as a sweep does with `hydra/launcher=local sweep.pack=K`: each a process of its own, K at the
same time on one GPU, or on one CPU machine whose cores they share. Throughput counts everything, start-up included.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.record import write

ROOT = Path(__file__).resolve().parent.parent


def seconds(runs: int, pack: int, device: str, words: list[str]) -> float:
    """Of a whole sweep over `runs` seeds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, str(ROOT / "train_classifier.py"), "+dataset=demo/digits", "+experiment=baseline"),
            *("max_labels_per_class=5", f"seed=range(0,{runs})", "monitor.evaluate_every=0"),
            *(f"machine.device={device}", f"machine.runs_dir={folder}", "hydra/launcher=local", f"sweep.pack={pack}"),
            *words,
            "--multirun",
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--pack", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("overrides", nargs="*", default=["epochs=30"], help="of each run")
    options = parser.parse_args()
    rows = {}
    for pack in options.pack:
        duration = seconds(options.runs, pack, options.device, options.overrides)
        rows[str(pack)] = {"seconds": round(duration, 1), "runs_per_hour": round(3600 * options.runs / duration)}
        print(f"{pack} at the same time: {duration:7.1f} s, {3600 * options.runs / duration:6.0f} runs an hour")
    packs = " ".join(map(str, options.pack))
    command = f"python -m benchmarks.packing --device {options.device} --runs {options.runs} --pack {packs}"
    command += f" -- {' '.join(options.overrides)}"
    print(write("packing", torch.device(options.device), {"command": command, "at_the_same_time": rows}))


if __name__ == "__main__":
    main()
