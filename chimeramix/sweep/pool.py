"""Runs in processes of their own, some at the same time: on this machine, or within a Slurm job."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from chimeramix.errors import Interrupted
from chimeramix.machine import allotted_cpus
from chimeramix.runs.state import OUT_OF_MEMORY, RunStatus, write_status
from chimeramix.sweep.task import read_job
from chimeramix.training.stopping import StopRequest

log = logging.getLogger(__name__)


def run_pool(
    tasks: list[tuple[Path, int]],
    at_once: int,
    ended: Callable[[int], object] = lambda position: None,
    deal_gpus: bool = True,
) -> None:
    """Does runs, at most `at_once` at the same time; the GPUs are dealt out in turn, the CPUs in equal shares.

    What a run prints goes to `logs/` in the sweep's folder. A signal that ends this process is handed on: the runs
    save and end first.

    Args:
        tasks: job files, and a run's number in its file.
        ended: called with a task's position when its process has ended.
        deal_gpus: False where the runs name the GPU that they take; see `take_any_gpu`.

    Raises:
        Interrupted: after a signal.
    """
    waiting = list(enumerate(tasks))
    slots = list(range(at_once))
    gpus = _visible_gpus() if deal_gpus else []
    running: dict[int, tuple[subprocess.Popen[bytes], int]] = {}
    with StopRequest() as stop:
        while waiting or running:
            while waiting and slots:
                position, (file, number) = waiting.pop(0)
                slot = slots.pop(0)
                running[position] = _start(file, number, slot, gpus, at_once), slot
            if stop.signal_number is not None:
                for process, _ in running.values():
                    process.send_signal(signal.SIGUSR2)
                for position, (process, _) in running.items():
                    process.wait()
                    ended(position)
                raise Interrupted(stop.signal_number)
            if stop.save:
                stop.save = False
                for process, _ in running.values():
                    process.send_signal(signal.SIGTERM)
            for position, (process, slot) in list(running.items()):
                status = process.poll()
                if status is not None:
                    del running[position]
                    slots.append(slot)
                    if status < 0:
                        _record_kill(*tasks[position], -status)
                    ended(position)
            time.sleep(0.1)


def take_any_gpu(devices: Iterable[str]) -> bool:
    """Whether one of these values of `machine.device` takes the GPU that it is given: `cuda:1` and `cpu` do not."""
    return any(device in ("auto", "cuda") for device in devices)


def default_at_once(devices: Collection[str]) -> int:
    """One run a GPU; where the runs take none, one for each two CPUs.

    Args:
        devices: `machine.device` of the runs.
    """
    gpus = len(_visible_gpus()) if take_any_gpu(devices) else len({*devices} - {"cpu"})
    return gpus or max(1, _cpus() // 2)


def _start(file: Path, number: int, slot: int, gpus: list[str], at_once: int) -> "subprocess.Popen[bytes]":
    environment = dict(os.environ)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    threads = str(max(1, _cpus() // at_once))
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(variable, threads)
    logs = file.parent.parent / "logs"
    logs.mkdir(exist_ok=True)
    with (logs / f"{file.stem}-{number}.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "chimeramix.sweep.job", str(file), str(number)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches this process alone, which hands it on
            preexec_fn=_ignore_sigterm,
        )


def _ignore_sigterm() -> None:
    """Slurm sends it to all processes of a job that it warns; one that still imports has nothing to save."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _record_kill(file: Path, number: int, signal_number: int) -> None:
    task = read_job(file)[number]
    name = signal.Signals(signal_number).name
    hint = f" {OUT_OF_MEMORY}" if signal_number == signal.SIGKILL else ""
    log.error("error: %s: killed by %s%s", task.folder.name, name, hint)
    write_status(task.folder, RunStatus("interrupted", task.command, f"killed by {name}{hint}"))


def _cpus() -> int:
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return allotted_cpus() or here


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
