"""One run from its settings to its result: identity, folder, parts, training, record."""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save

from chimeramix.config.own_code import make_importable
from chimeramix.config.schema import Config
from chimeramix.config.settings import Settings
from chimeramix.errors import Interrupted
from chimeramix.files import read_json_lines, write_atomically
from chimeramix.machine import Machine, memory_errors
from chimeramix.runs import build
from chimeramix.runs.assembly import Parts, Run, parts_of
from chimeramix.runs.commands import generator_command, resume_command
from chimeramix.runs.folder import RunFolder, cleared_for, folders_in
from chimeramix.runs.outcome import result_of, summary_of
from chimeramix.runs.record import evaluated_part, metrics_of
from chimeramix.runs.sources import changed_since, check_precision, new_stretch, stretches_in, tell_changes
from chimeramix.runs.spec import classifier_spec, generator_spec, size_name
from chimeramix.runs.state import Progress, recorded
from chimeramix.runs.trained import check_weights, generator_result
from chimeramix.streams import RunStreams
from chimeramix.training.checkpoint import load_checkpoint
from chimeramix.training.loop import fit
from chimeramix.training.pictures import draw_curves
from chimeramix.training.tracking import Tracker, WandbTracker

log = logging.getLogger(__name__)


def train(settings: Settings, generator_too: bool = False, sweep: str | None = None) -> None:
    """Trains what the settings say, or reports it where it is finished, or goes on where it was interrupted.

    Args:
        generator_too: whether a classifier trains the generator that it needs and doesn't find, under that generator's
            lock: of several that need it, one trains it and the others wait.
        sweep: whose job this is; with `rerun`, a sweep restarts each of its runs once.

    Raises:
        UserError: for a mistake of the user's, before anything is written.
        RunFailure, Interrupted: see `chimeramix.training.loop.fit`.
    """
    config = settings.config
    make_importable(settings.own_folders)  # where a sweep's job has the settings from a file
    if trains_nothing(settings):
        log.info("%s trains no generator: nothing to do", settings.names.get("experiment") or "this configuration")
        return
    asked = config.machine
    machine = Machine.choose(asked.device, asked.precision, asked.compile, asked.threads)
    source = build.source(config)
    facts = source.facts()
    folder, generator = folders_of(settings, facts)
    restart = config.rerun and not cleared_for(folder.path, sweep)
    if not restart and _report_if_finished(folder, config, machine):
        return
    finished = generator_result(settings, generator) if generator else None
    if generator and finished:
        if changed := changed_since(finished, config):
            again = f"{generator_command(settings.overrides)} rerun=true"
            log.warning(
                "the generator %s is used as it is; changed since: %s; train it again with: %s",
                generator.path,
                changed,
                again,
            )
    elif generator and generator_too:
        build.check_generator(config, build.generator(config).network)
        log.info("the generator %s comes first", generator.path)
        train(settings.of_generator())

    machine.make_reproducible()
    run = Run(settings, machine, source, folder, generator, RunStreams(config.seed, machine.device))
    with memory_errors():
        parts = parts_of(run)
    with folder.lock():
        if restart:
            folder.clear(sweep)
        elif _report_if_finished(folder, config, machine):  # another process finished it while this one waited
            return
        checkpoint = folder.path / "checkpoint.pt"
        # Read here, so that a damaged one is refused before anything is written.
        state = load_checkpoint(checkpoint, folder.identity) if checkpoint.exists() else None
        check_precision(checkpoint, stretches_in(state), machine.precision)
        try:
            with recorded(folder.path, resume_command(settings.role, settings.overrides)) as progress, memory_errors():
                _train_in_folder(run, parts, state, progress)
        except Interrupted as stop:
            stop.rerun = config.rerun
            raise


def trains_nothing(settings: Settings) -> bool:
    """Whether a generator is asked for where the experiment has none."""
    return settings.role == "generator" and settings.config.generator is None


def folders_of(
    settings: Settings, facts: dict[str, Any], existing: Mapping[str, Path] | None = None
) -> tuple[RunFolder, RunFolder | None]:
    """The run's folder and, for a classifier that uses a generator, that generator's; no file is touched.

    Earlier versions did not count a data set's `content`: where only a run without it is there, that is the one.

    Args:
        facts: of the data set; see `DataSource.facts`.
        existing: see `RunFolder`.
    """
    if existing is None:
        existing = folders_in(settings.runs_dir)
    folders = _folders_of(settings, facts, existing)
    if "content" in facts and folders[0].identity not in existing:
        without = {key: value for key, value in facts.items() if key != "content"}
        former = _folders_of(settings, without, existing)
        if former[0].identity in existing:
            return former
    return folders


def _folders_of(
    settings: Settings, facts: dict[str, Any], existing: Mapping[str, Path]
) -> tuple[RunFolder, RunFolder | None]:
    config = settings.config
    if settings.role == "generator":
        return RunFolder(settings.runs_dir, generator_spec(config, facts), _readable_name(settings), existing), None
    generator = None
    if build.needs_generator(config) and config.generator is not None:
        generator = folders_of(settings.of_generator(), facts, existing)[0]
    spec = classifier_spec(config, facts, generator.identity if generator else None)
    return RunFolder(settings.runs_dir, spec, _readable_name(settings), existing), generator


def _train_in_folder(run: Run, parts: Parts, state: dict[str, Any] | None, progress: Progress) -> None:
    config, folder, data = run.settings.config, run.folder, parts.data
    values = yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)
    command = resume_command(run.settings.role, run.settings.overrides)
    folder.describe(values, data.split(), run.machine.describe(), command, run.settings.own_folders)
    with _log_file(folder.path / "train.log"):
        log.info(
            "%s: %d images of %d classes, %s parameters, %s steps, %s",
            folder.path,
            len(data.labels),
            len(data.classes),
            f"{sum(parameter.numel() for parameter in parts.weights.parameters()):,}",
            f"{parts.training.epochs * len(parts.training.loader):,}",
            run.machine.device,
        )
        if slow := run.machine.emulation():
            log.warning("%s", slow)
        stretch = new_stretch(run.machine, config, run.settings.role)
        tell_changes(stretches_in(state), stretch)
        if parts.views.segments is not None:
            _ = parts.views.segments.labels  # computed here, before the clock of the first step runs
        tracker = _tracker(run)
        last = fit(
            parts.training,
            run.streams,
            folder.path,
            folder.identity,
            run.machine,
            tracker,
            config.monitor.checkpoint_seconds,
            state,
            progress,
            stretch,
            config.monitor.stop_after,
        )
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parts.weights.state_dict().items()}
        metadata = {"identity": folder.identity}
        # Not by save_file, whose file nobody else may read and which leaves one of another name when it is killed.
        weights = save(tensors, metadata)
        write_atomically(folder.weights, lambda path: path.write_bytes(weights))
        result = {**result_of(run, parts, last), "weights_sha256": hashlib.sha256(weights).hexdigest()}
        if run.settings.role == "classifier":
            curves = folder.path / "accuracy.png"
            draw_curves(read_json_lines(folder.path / "metrics.jsonl"), evaluated_part(result), curves, folder.name)
            tracker.log_image("confusion", folder.path / "confusion.png")
        tracker.finish(metrics_of(result))
        folder.finish(result, config.monitor.keep_checkpoint)
        log.info("%s", summary_of(folder, result))


def _tracker(run: Run) -> Tracker:
    config, folder = run.settings.config, run.folder
    if config.wandb.mode == "disabled":
        return Tracker()
    # Runs that differ in their seed only are a group, whose mean W&B can show.
    group = folder.name.removesuffix(f"-s{config.seed}-{folder.identity}")
    tags = [config.dataset["name"], run.settings.names.get("experiment") or "no experiment"]
    options = dataclasses.asdict(config.wandb)
    options |= {"group": config.wandb.group or group, "tags": config.wandb.tags or tags}
    return WandbTracker(options, folder.wandb_id, run.settings.role, folder.path, dataclasses.asdict(config))


def _report_if_finished(folder: RunFolder, config: Config, machine: Machine) -> bool:
    result = folder.result()
    if result is not None:
        check_weights(folder.weights, result, "start over with rerun=true")
        precisions = dict.fromkeys(stretch["precision"] for stretch in result.get("stretches", []))
        precision = [f"machine.precision ({each} then)" for each in precisions if each != machine.precision]
        changed = ", ".join(filter(None, [*precision, changed_since(result, config)]))
        remedy = f"; changed since: {changed}; rerun=true trains it again" if changed else ""
        log.info("done already: %s%s", summary_of(folder, result), remedy)
    return result is not None


def _readable_name(settings: Settings) -> str:
    config, names = settings.config, settings.names
    method = names.get("experiment") or names.get("mixer") or "run"
    if settings.role == "generator":
        # Experiments may share a generator: a name of theirs would let two processes begin it in two folders at once.
        method = "_".join(filter(None, (names.get("generator"), names.get("mask"))))
    name = f"{config.dataset['name']}-n{size_name(config.max_labels_per_class)}-{method}-s{config.seed}"
    return name.replace("/", "_")


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Copies the package's log lines into the run folder while the run lasts."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("chimeramix")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):  # what a full disk did not take
            handler.close()
