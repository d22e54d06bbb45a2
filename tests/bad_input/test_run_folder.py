"""Runs that are damaged, missing or unfinished."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from tests.bad_input.words import BASELINE, GRID, ROOT, TINY, TINY_GENERATOR


def test_a_damaged_checkpoint(command, refusal):
    words = (*BASELINE, *TINY)
    status, _, lines = command("classifier", *words)
    assert status == 0, lines
    (folder,) = Path("runs/classifier").iterdir()
    (folder / "result.json").unlink()
    checkpoint = folder / "checkpoint.pt"
    whole = checkpoint.read_bytes()

    checkpoint.write_bytes(whole[: len(whole) // 2])
    line = refusal("classifier", *words)
    assert f"{checkpoint} is damaged" in line
    assert "rerun=true" in line

    checkpoint.write_bytes(whole)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "identity": "0123456789ab"}, checkpoint)
    line = refusal("classifier", *words)
    assert f"{checkpoint} belongs to another configuration (identity 0123456789ab, not {state['identity']})" in line
    assert "rerun=true" in line

    status, _, lines = command("classifier", *words, "rerun=true")
    assert (status, "test accuracy" in lines[-1]) == (0, True)
    status, _, lines = command("classifier", *words)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith("done already: ")

    (folder / "result.json").write_text("{")
    assert "result.json is damaged" in refusal("classifier", *words)


def test_a_generators_run_that_is_missing_or_unfinished(command, refusal, tmp_path):
    """The message holds the command that mends it, to be pasted into a shell."""
    words = (*GRID, *TINY, *TINY_GENERATOR, "mixer.probability=1", "wandb.project='a b'")
    line = refusal("classifier", *words)
    told = re.fullmatch(r"this run needs the generator (\w+), and there is none; train it with: python (.*)", line)
    script, *arguments = shlex.split(told[2])
    assert Path(script) == ROOT / "train_generator.py"
    assert arguments == [*GRID, "max_labels_per_class=2", "machine.device=cpu", *TINY_GENERATOR, "wandb.project='a b'"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} {told[2]}", shell=True, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    (folder,) = Path("runs/generator").iterdir()
    assert folder.name.endswith(told[1])

    status, _, lines = command("classifier", *words)
    assert status == 0, lines

    weights = folder / "generator.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    line = refusal("classifier", *words, "seed=0", "epochs=2")
    assert f"{weights} is damaged" in line
    assert line.endswith(" rerun=true")
    weights.write_bytes(whole)

    (folder / "result.json").unlink()
    line = refusal("classifier", *words, "epochs=2")
    assert f"its training in {folder} is not finished; train it with: python {told[2]}" in line
