"""What Slurm knows of our jobs, asked with its own commands."""

import re
import shutil
import subprocess


def queue() -> dict[str, str]:
    """State (`PENDING`, `RUNNING`, ...) of each of the user's jobs by number, `12` or `12_3`; empty without Slurm.

    Raises:
        ConnectionError: where Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise ConnectionError(f"Slurm's queue can't be read ({reason})") from error
    pairs = (line.split() for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def end_of(job: str) -> str:
    """How a job that left the queue ended, such as `OUT_OF_MEMORY` or `CANCELLED`, or what is known of it."""
    # Slurm itself knows it for some minutes; its accounting database for ever, where there is one, but later.
    sources = (
        (["scontrol", "--oneliner", "show", "job", job], r"JobState=([A-Z_]+)"),
        (["sacct", "--jobs", job, "--format=State", "--noheader", "--parsable2", "--allocations"], r"^([A-Z_]+)"),
    )
    for command, pattern in sources:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        except (subprocess.SubprocessError, OSError):
            continue
        state = re.search(pattern, done.stdout)
        if state and state.group(1) not in ("PENDING", "RUNNING", "COMPLETING"):
            return state.group(1)
    return "no longer in Slurm's queue"
