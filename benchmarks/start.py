"""How long commands take that train nothing: `python -m benchmarks.start`.

Each is a process of its own; the least of five times is reported, since anything else the machine does only adds.
The finished run is a baseline on digits, trained for the purpose.
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
RUN = ("+dataset=demo/digits", "+experiment=baseline", "max_labels_per_class=2", "epochs=1")


def seconds(words: list[str], repeats: int = 5, status: int = 0) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
        if done.returncode != status:
            raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}, not {status}")
    return min(times)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    python, train = sys.executable, str(ROOT / "train_classifier.py")
    with tempfile.TemporaryDirectory() as runs:
        run = [python, train, *RUN, f"machine.runs_dir={runs}"]
        seconds(run, repeats=1)
        commands = {
            "train_classifier.py --help": [python, train, "--help"],
            "train_classifier.py --cfg job": [*run, "--cfg", "job"],
            "a finished run is reported": run,
            "chimeramix --help": [python, "-m", "chimeramix", "--help"],
            "chimeramix status": [python, "-m", "chimeramix", "status", runs],
            "chimeramix report": [python, "-m", "chimeramix", "report", runs],
            "for comparison: import torch": [python, "-c", "import torch"],
        }
        rows = {name: round(seconds(words), 2) for name, words in commands.items()}
        rows["a misspelt key is refused"] = round(seconds([*run, "optimiser.lr=1"], status=2), 2)
    for name, value in rows.items():
        print(f"{name:32}{value:6.2f} s")
    print(write("start", torch.device("cpu"), {"command": "python -m benchmarks.start", "seconds": rows}))


if __name__ == "__main__":
    main()
