"""The demo's script; `make demo` itself takes minutes."""

import os
import signal
import subprocess
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.sh"


def test_output_appears_line_by_line_in_a_pipe(tmp_path: Path) -> None:
    """A training that says something and goes on is heard at once."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nif [ "$1" = -c ]; then echo 2; else echo "epoch 1/20"; sleep 60; fi\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(["bash", DEMO], stdout=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdout is not None
    try:
        start = time.monotonic()
        lines = sorted(process.stdout.readline() for _ in range(2))
        assert lines == [b"[seed 0] epoch 1/20\n", b"[seed 1] epoch 1/20\n"]
        assert time.monotonic() - start < 30
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
