"""What Slurm knows of our jobs, asked with its own commands."""

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
        raise ConnectionError(f"squeue does not answer: {error}") from error
    pairs = (line.split() for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def end_of(job: str) -> str:
    """How a job that left the queue ended, such as `OUT_OF_MEMORY` or `CANCELLED by 0`, or what is known of it."""
    command = ["sacct", "--jobs", job, "--format=State", "--noheader", "--parsable2", "--allocations"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.splitlines()[-1].strip()
    except (subprocess.SubprocessError, OSError, IndexError):
        return "no longer in Slurm's queue"
