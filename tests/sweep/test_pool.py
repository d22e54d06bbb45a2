"""How a local sweep shares the machine among runs at the same time, and what it tells meanwhile."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chimeramix.sweep import launch, pool
from chimeramix.sweep.launch import Job
from chimeramix.sweep.plan import PlannedRun

Environments = list[dict[str, str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Environments:
    """The environments of the runs that a pool starts, on a machine of 9 CPUs; each run ends at once."""
    environments: Environments = []

    class Process:
        def __init__(self, command: list[str], env: dict[str, str], **more: Any) -> None:
            assert command[0] == sys.executable
            environments.append(env)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(pool.subprocess, "Popen", Process)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(9)), raising=False)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_CPUS_PER_TASK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pool.time, "sleep", lambda seconds: None)
    return environments


@pytest.fixture
def run(started: Environments, tmp_path: Path) -> Callable[[int, int], Environments]:
    def run(runs: int, at_once: int) -> Environments:
        (tmp_path / "jobs").mkdir()
        pool.run_pool([(tmp_path / "jobs" / "0.json", number) for number in range(runs)], at_once)
        return started

    return run


@pytest.mark.parametrize(
    ("visible", "at_once", "expected"),
    [
        ("0,1", 2, ["0", "1"]),
        ("0,1", 4, ["0", "1", "0", "1"]),
        ("2,5,7", 3, ["2", "5", "7"]),
        ("GPU-8f6e,GPU-11b0", 2, ["GPU-8f6e", "GPU-11b0"]),
    ],
)
def test_runs_at_the_same_time_have_the_gpus_in_turn(
    visible: str,
    at_once: int,
    expected: list[str],
    run: Callable[[int, int], Environments],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in run(at_once, at_once)] == expected


def test_a_run_gets_the_gpu_of_the_one_that_ended(
    run: Callable[[int, int], Environments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in run(6, 2)] == ["0", "1"] * 3


def test_runs_that_name_their_gpu_see_all_of_them(
    started: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    (tmp_path / "jobs").mkdir()
    pool.run_pool([(tmp_path / "jobs" / "0.json", 0)], 1, deal_gpus=pool.take_any_gpu({"cuda:1"}))
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in started] == ["0,1"]


@pytest.mark.parametrize(
    ("visible", "devices", "expected"),
    [
        ("0,1,2", {"auto"}, 3),
        ("0,1,2", {"cuda"}, 3),
        ("0,1,2", {"cuda:1"}, 1),
        ("0,1,2", {"cuda:0", "cuda:2"}, 2),
        ("0,1,2", {"cpu"}, 4),
        ("", {"auto"}, 4),
    ],
)
@pytest.mark.usefixtures("started")
def test_how_many_runs_go_at_once(
    visible: str, devices: set[str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as they have GPUs; without one, half as many as there are CPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert pool.default_at_once(devices) == expected


@pytest.mark.parametrize(("at_once", "threads"), [(1, "9"), (2, "4"), (4, "2"), (9, "1"), (20, "1")])
def test_runs_at_the_same_time_share_the_cpus(
    at_once: int, threads: str, run: Callable[[int, int], Environments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # none
    environments = run(at_once, at_once)
    assert len(environments) == at_once
    for environment in environments:
        assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == threads
        assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_a_number_of_threads_that_the_user_set_is_kept(
    run: Callable[[int, int], Environments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [environment["OMP_NUM_THREADS"] for environment in run(2, 2)] == ["3", "3"]


def test_the_log_says_how_much_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Six runs, two at a time, of 300 seconds each but for one that fails at once."""
    ends = [(0, "failed"), (300, "done"), (300, "done"), (600, "done"), (600, "done"), (900, "done")]
    now, state = 0, ""

    def run_pool(tasks: list[tuple[Path, int]], at_once: int, ended: Callable[[int], object], deal: bool) -> None:
        nonlocal now, state
        for position, end in enumerate(ends):
            now, state = end
            ended(position)

    monkeypatch.setattr(launch, "run_pool", run_pool)
    monkeypatch.setattr(launch, "read_state", lambda folder: (state, None))
    monkeypatch.setattr(launch, "time", SimpleNamespace(monotonic=lambda: now))
    caplog.set_level("INFO")
    runs = [PlannedRun(tmp_path / f"run{number}", "classifier", {}, "") for number in range(len(ends))]
    launch.on_this_machine([Job(tmp_path / "0.json", runs)], 2)
    assert caplog.messages == [
        "1 of 6: run0 failed",
        "2 of 6: run1 done",
        "3 of 6: run2 done, about 10 min left",
        "4 of 6: run3 done, about 5 min left",
        "5 of 6: run4 done, about 5 min left",
        "6 of 6: run5 done",
    ]
