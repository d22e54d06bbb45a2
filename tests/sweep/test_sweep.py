"""Sweeps on this machine: each run once, only what is missing, failures recorded, and a summary one can act on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chimeramix.cli import main
from chimeramix.config.compose import Tree
from chimeramix.errors import Interrupted, RunFailure, UserError
from chimeramix.runs import train
from chimeramix.sweep import driver, launch, pool, slurm
from chimeramix.sweep.driver import sweep
from chimeramix.sweep.job import attempt
from chimeramix.sweep.plan import PlannedRun
from chimeramix.sweep.task import read_job, write_job
from tests.composing import composed
from tests.runs.tiny import CLASSIFIER, COMMON, GENERATOR, assert_same_run, overrides

ROOT = Path(__file__).resolve().parents[2]


def words(runs: Path, *more: str, seeds: str = "0,1", epochs: int = 1) -> list[str]:
    """Two seeds of a tiny baseline."""
    own = [word for word in CLASSIFIER if not word.startswith(("epochs=", "monitor."))]
    common = [*COMMON, "+experiment=baseline", *own, f"epochs={epochs}", "monitor.evaluate_every=0"]
    return [*common, f"machine.runs_dir={runs}", f"seed={seeds}", *more]


def folders(runs: Path, role: str = "classifier") -> list[Path]:
    return sorted((runs / role).iterdir())


def results(runs: Path) -> dict[Path, int]:
    """When each run was finished."""
    return {path: path.stat().st_mtime_ns for path in runs.glob("*/*/result.json")}


def test_a_sweep_one_run_after_another_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "chimeramix")
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    assert "2 runs: 2 missing" in caplog.text
    assert "all 2 runs are done" in caplog.text
    first = results(tmp_path)
    assert len(first) == 2
    sweeps = sorted((tmp_path / "sweeps").iterdir())
    assert len(sweeps) == 1

    caplog.clear()
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    assert "2 runs: 2 done" in caplog.text
    assert results(tmp_path) == first
    assert sorted((tmp_path / "sweeps").iterdir()) == sweeps, "a sweep with nothing to do leaves nothing behind"


def test_a_pool_of_processes_gives_the_same_bits(tmp_path: Path) -> None:
    """Two at the same time, each with one thread, as one after another."""
    one_thread = "machine.threads=1"
    sweep(Tree("classifier"), words(tmp_path / "pool", "hydra/launcher=local", "sweep.pack=2", one_thread))
    sweep(Tree("classifier"), words(tmp_path / "basic", "hydra/launcher=basic", one_thread))
    for folder, expected in zip(folders(tmp_path / "pool"), folders(tmp_path / "basic"), strict=True):
        assert_same_run(folder, expected)
    (logs,) = (tmp_path / "pool" / "sweeps").glob("*/logs")
    assert len(list(logs.iterdir())) == 2, "what each run printed"


def test_what_is_missing_is_done_and_a_failure_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "chimeramix")
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    first, second = folders(tmp_path)
    finished = (second / "result.json").stat().st_mtime_ns
    (first / "result.json").unlink()
    (first / "checkpoint.pt").write_text("damaged")
    caplog.clear()
    with pytest.raises(RunFailure) as failure:
        sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic", seeds="0,1,2"))
    assert "3 runs: 1 done, 1 interrupted, 1 missing" in caplog.text
    assert f"{first}: failed: " in caplog.text
    assert "2 done, 1 failed of 3 runs; for the rest repeat: python " in str(failure.value)
    assert str(failure.value).endswith("--multirun")
    assert (second / "result.json").stat().st_mtime_ns == finished
    status = json.loads((first / "status.json").read_text())
    assert status["state"] == "failed"
    assert "damaged" in status["reason"]


def test_the_told_command_finishes_the_rest(tmp_path: Path) -> None:
    """Word by word as printed, in a shell."""
    run = subprocess.run(
        [sys.executable, "train_classifier.py", *words(tmp_path, "hydra/launcher=basic"), "--multirun"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    broken = folders(tmp_path)[0]
    (broken / "result.json").unlink()
    (broken / "checkpoint.pt").write_text("damaged")
    with pytest.raises(RunFailure) as failure:
        sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    (broken / "checkpoint.pt").unlink()
    command = str(failure.value).split("repeat: ")[1].replace("python ", f"{sys.executable} ", 1)
    assert subprocess.run(command, shell=True, check=False, capture_output=True).returncode == 0
    assert len(results(tmp_path)) == 2


def test_rerun_trains_all_of_a_sweep_again(tmp_path: Path) -> None:
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    first = results(tmp_path)
    sweep(
        Tree("classifier"), words(tmp_path, "hydra/launcher=basic", "rerun=true", f"hydra.sweep.dir={tmp_path}/again")
    )
    second = results(tmp_path)
    assert first.keys() == second.keys()
    assert all(second[path] > first[path] for path in first)


def test_a_rerun_that_fails_at_once_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before its folder is cleared, the former result is in it."""
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    before = results(tmp_path)

    def fail(*arguments: object) -> None:
        raise RunFailure("out of memory")

    monkeypatch.setattr(train, "parts_of", fail)
    caplog.set_level("INFO", "chimeramix")
    with pytest.raises(RunFailure, match="2 runs did not start over and have their former result"):
        sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic", "rerun=true"))
    assert results(tmp_path) == before
    assert "are done" not in caplog.text


def test_runs_that_stop_as_asked_are_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "chimeramix")
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic", "monitor.stop_after=1", epochs=2))
    assert "2 interrupted of 2 runs; 2 stopped as asked (monitor.stop_after)" in caplog.text
    assert not results(tmp_path)


def test_an_earlier_stop_is_not_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was to go on to its end, and whose process could not even start."""
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic", "monitor.stop_after=1", epochs=2))
    monkeypatch.setattr(launch, "attempt", lambda task: False)
    with pytest.raises(RunFailure, match="2 interrupted of 2 runs; for the rest repeat"):
        sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic", epochs=2))


def test_a_generator_stops_where_it_is_asked_to_and_not_on_the_way(tmp_path: Path) -> None:
    asked = [*overrides("generator", tmp_path), "monitor.stop_after=1", "hydra/launcher=basic"]
    sweep(Tree("generator"), asked)
    assert not results(tmp_path)
    asked = [*overrides("classifier", tmp_path), "monitor.stop_after=1", "hydra/launcher=basic"]
    sweep(Tree("classifier"), asked)
    assert [path.parents[1].name for path in results(tmp_path)] == ["generator"]


def test_a_refused_submission_leaves_finished_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    before = {path: path.read_bytes() for path in tmp_path.glob("classifier/*/*") if path.is_file()}
    sweeps = sorted((tmp_path / "sweeps").iterdir())

    def refuse(*arguments: object) -> None:
        raise UserError("Slurm did not take the sweep: invalid partition")

    monkeypatch.setattr(driver, "on_slurm", refuse)
    monkeypatch.setattr(driver.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(UserError, match="did not take"):
        sweep(Tree("classifier"), words(tmp_path, "rerun=true"))
    assert {path: path.read_bytes() for path in tmp_path.glob("classifier/*/*") if path.is_file()} == before
    assert sorted((tmp_path / "sweeps").iterdir()) == sweeps


def test_a_job_that_comes_back_from_the_queue_is_not_rerun_twice(tmp_path: Path) -> None:
    file = task_of(tmp_path, "rerun=true")
    attempt(*read_job(file))
    (result,) = tmp_path.glob("classifier/*/result.json")
    first = result.stat().st_mtime_ns
    attempt(*read_job(file))
    assert result.stat().st_mtime_ns == first
    another = tmp_path / "tomorrow" / "jobs" / "0.json"
    another.parent.mkdir(parents=True)
    another.write_text(file.read_text())
    attempt(*read_job(another))
    assert result.stat().st_mtime_ns > first


def test_a_method_with_a_generator_is_checked_before_its_generator_is_trained(tmp_path: Path) -> None:
    both = overrides("classifier", tmp_path / "runs", "chimeramix_grid", "hydra/launcher=basic")
    for wrong, expected in (("mixer.probability=7", "probability"), ("generator=glico", "generator")):
        with pytest.raises(UserError, match=expected):
            sweep(Tree("classifier"), [*(word for word in both if not word.startswith("generator.")), wrong])
    assert list(tmp_path.iterdir()) == []


def test_experiments_that_share_a_generator_train_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And those without one need no process at all."""
    caplog.set_level("INFO", "chimeramix")
    tiny = [*COMMON, *GENERATOR, f"machine.runs_dir={tmp_path}", "hydra/launcher=basic"]
    sweep(Tree("generator"), [*tiny, "+experiment=chimeramix_grid", "augment=flip_crop,trivialaugment"])
    assert len(folders(tmp_path, "generator")) == 1
    caplog.clear()
    sweep(
        Tree("generator"),
        [*COMMON, f"machine.runs_dir={tmp_path}", "+experiment=baseline,mixup", "hydra/launcher=slurm"],
    )
    assert "2 of 2 combinations train no generator: nothing to do" in caplog.text


def test_a_classifier_of_a_sweep_trains_the_generator_it_lacks(tmp_path: Path) -> None:
    """A single run refuses instead, and names the command."""
    both = overrides("classifier", tmp_path, "chimeramix_grid")
    sweep(Tree("classifier"), [*both, "augment=flip_crop,trivialaugment", "hydra/launcher=basic"])
    assert len(folders(tmp_path, "generator")) == 1
    assert len(results(tmp_path)) == 3


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["hydra/launcher=slurm"], "there is no Slurm on this machine.*hydra/launcher=local.*hydra/launcher=basic"),
        (["hydra/launcher=basic", "optimizer.lr=-1,0.1"], "optimizer: Invalid learning rate: -1"),
        (["hydra/launcher=local", "sweep.pack=0"], "sweep.pack"),
        (["hydra/launcher=local", "machine.precision=fp8"], "machine.precision=fp8"),
        (["hydra/launcher=basic", "mixer=mixup", "mixer.alpha=-1"], "mixer: alpha must"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], expected: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=expected):
        sweep(Tree("classifier"), words(tmp_path / "runs", *more))
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_pool_saves_its_runs_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """SIGTERM to the command: its runs save first, and end with the bits of runs that were not stopped."""
    slow = ["machine.threads=1", "dataset.image_size=32"]  # no run may end before the other one has begun
    pool = ["hydra/launcher=local", "sweep.pack=2", "monitor.checkpoint_seconds=0.5"]
    long = words(tmp_path / "stopped", *pool, *slow, epochs=40)
    command = [sys.executable, str(ROOT / "train_classifier.py"), *long, "--multirun"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    limit = time.monotonic() + 120
    while len(list((tmp_path / "stopped").glob("classifier/*/checkpoint.pt"))) < 2:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + signal.SIGTERM, printed
    assert "2 interrupted" in printed
    for folder in folders(tmp_path / "stopped"):
        assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    sweep(Tree("classifier"), long)
    sweep(Tree("classifier"), words(tmp_path / "whole", "hydra/launcher=basic", *slow, epochs=40))
    for folder, expected in zip(folders(tmp_path / "stopped"), folders(tmp_path / "whole"), strict=True):
        assert_same_run(folder, expected)


def task_of(tmp_path: Path, *more: str) -> Path:
    """The file of a job of one run, as a sweep writes it."""

    chosen = [word for word in words(tmp_path) if not word.startswith("seed=")]
    settings = composed("classifier", [*chosen, *more])
    file = tmp_path / "sweep" / "jobs" / "0.json"
    file.parent.mkdir(parents=True)
    write_job(file, [PlannedRun(tmp_path / "folder", "classifier", {}, "again", settings=settings)])
    return file


def test_a_job_trains_what_was_planned_not_what_conf_says_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = read_job(task_of(tmp_path, "optimizer.lr=0.07"))
    monkeypatch.setattr("hydra.compose", lambda *arguments, **keywords: pytest.fail("nothing is to be composed"))
    monkeypatch.setattr("chimeramix.config.compose.compose", lambda *arguments, **keywords: pytest.fail("nor here"))
    assert attempt(task)
    (config,) = tmp_path.glob("classifier/*/config.yaml")
    assert "lr: 0.07" in config.read_text()


def test_an_interrupted_attempt_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error, to put the job back into the queue."""

    def interrupted(*arguments: object, **keywords: object) -> None:
        raise Interrupted(signal.SIGUSR2)

    monkeypatch.setattr("chimeramix.runs.train.train", interrupted)
    (task,) = read_job(task_of(tmp_path))
    with pytest.raises(Interrupted):
        attempt(task)
    assert json.loads((tmp_path / "folder" / "status.json").read_text())["state"] == "started"


def test_runs_in_slurms_queue_are_not_started_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO", "chimeramix")
    sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    (record,) = tmp_path.glob("sweeps/*/sweep.json")
    content = json.loads(record.read_text())
    waiting = folders(tmp_path)[0]
    content["jobs"] = {"12_0": [waiting.name.rsplit("-", 1)[-1]], "11": ["0" * 12]}
    record.write_text(json.dumps(content))
    (waiting / "result.json").unlink()
    monkeypatch.setattr(slurm, "queue", lambda: {"12_0": "PENDING"})
    monkeypatch.setattr(driver, "in_this_process", lambda jobs: pytest.fail("nothing is to be started"))
    caplog.clear()
    with pytest.raises(RunFailure, match="1 done, 1 queued of 2 runs"):
        sweep(Tree("classifier"), words(tmp_path, "hydra/launcher=basic"))
    assert main(["status", str(tmp_path)]) == 0
    assert "classifiers: 1 done, 1 queued" in capsys.readouterr().out


class Handle:
    """A job as submitit hands it out."""

    def __init__(self, tmp_path: Path, number: str, error: Exception | None = None) -> None:
        self.job_id = number
        self.paths = type("Paths", (), {"result_pickle": tmp_path / f"{number}.pkl", "folder": tmp_path})
        self._error = error

    def exception(self) -> Exception | None:
        return self._error


@pytest.mark.parametrize(
    ("ended", "error", "expected"),
    [
        (False, None, "Slurm job 7: OUT_OF_MEMORY"),
        (True, RuntimeError("Traceback ...\nUncompletedJobError: timed out too often"), "timed out too often"),
        (True, None, None),  # the run itself has said what there is to say
    ],
)
def test_why_a_job_ended_is_recorded_with_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool, error: Exception | None, expected: str | None
) -> None:
    monkeypatch.setattr(slurm, "end_of", lambda number: "OUT_OF_MEMORY")
    handle = Handle(tmp_path, "7", error)
    if ended:
        handle.paths.result_pickle.touch()  # type: ignore[attr-defined]
    run = PlannedRun(tmp_path / "run", "classifier", {}, "again")
    launch._record_end("7", handle, launch.Job(tmp_path / "job.json", [run]))
    path = run.folder / "status.json"
    if expected is None:
        assert not path.exists()
    else:
        status = json.loads(path.read_text())
        assert status["state"] == "interrupted"
        assert expected in status["reason"]


def test_a_full_queue_takes_the_rest_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm limits how many jobs a user may submit. By then the first array may have ended."""
    now, looks, answers = 0.0, 0, [True, False, False, True]

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def look() -> dict[str, str]:
        nonlocal looks
        looks += 1
        return {}

    def submit(
        batch: list[launch.Job], resources: object, folder: object, active: dict[str, object], taken: bool
    ) -> bool:
        assert taken == (len(answers) < 4)
        return answers.pop(0)

    monkeypatch.setattr(launch, "_submit", submit)
    monkeypatch.setattr(slurm, "queue", look)
    monkeypatch.setattr(launch.time, "sleep", sleep)
    monkeypatch.setattr(launch.time, "monotonic", lambda: now)
    jobs = [launch.Job(tmp_path / f"{number}.json", []) for number in range(2)]
    launch.on_slurm(jobs, {}, 1, tmp_path)
    assert answers == []
    assert looks < 60, "two minutes of waiting"


def test_a_run_that_still_imports_survives_the_warning_of_its_job(tmp_path: Path) -> None:
    """Slurm sends SIGTERM to all processes of a job; there is nothing to save yet."""
    process = pool._start(task_of(tmp_path), 0, 0, [], 1)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    assert len(results(tmp_path)) == 1
