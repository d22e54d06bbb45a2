"""One run from its settings to its result: identity, folder, parts, training, record."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save

from chimeramix.config.compose import Settings
from chimeramix.files import read_json_lines, write_atomically
from chimeramix.machine import Machine
from chimeramix.runs import build
from chimeramix.runs.assembly import Parts, Run, classifier_parts, generator_parts
from chimeramix.runs.commands import resume_command
from chimeramix.runs.folder import RunFolder
from chimeramix.runs.spec import FORMAT, classifier_spec, generator_spec, size_name
from chimeramix.runs.state import Progress, recorded
from chimeramix.streams import RunStreams
from chimeramix.training.checkpoint import load_checkpoint
from chimeramix.training.loop import fit
from chimeramix.training.pictures import draw_curves
from chimeramix.training.tracking import WandbTracker

log = logging.getLogger(__name__)


def train(settings: Settings, generator_too: bool = False, sweep: str | None = None) -> None:
    """Trains what the settings say, or reports it where it is finished, or goes on where it was interrupted.

    Args:
        generator_too: whether a classifier trains the generator that it needs and doesn't find, under that generator's
            lock: of several that need it, one trains it and the others wait.
        sweep: whose job this is; with `rerun`, a sweep starts each of its runs anew once.

    Raises:
        UserError: for a mistake of the user's, before anything is written.
        RunFailure, Interrupted: see `chimeramix.training.loop.fit`.
    """
    values = settings.values
    if trains_nothing(settings):
        log.info("%s trains no generator: nothing to do", settings.names.get("experiment") or "this configuration")
        return
    machine = Machine.choose(*(values["machine"][key] for key in ("device", "precision", "compile", "threads")))
    source = build.source(values)
    facts = source.facts()
    folder, generator = folders_of(settings, facts)
    generator_identity = generator.identity if generator else None
    anew = values["rerun"] and not folder.cleared_for(sweep)
    if not anew and _report_if_finished(folder):
        return
    if generator and generator_too and generator.result() is None:
        build.check_generator(values, build.generator(values).network)
        log.info("the generator %s comes first", generator.path)
        train(replace(settings, role="generator", values={**values, "rerun": False}))

    machine.make_reproducible()
    run = Run(settings, machine, source, facts, folder, RunStreams(values["seed"], machine.device))
    parts = generator_parts(run) if settings.role == "generator" else classifier_parts(run)
    with folder.lock():
        if anew:
            folder.clear(sweep)
        elif _report_if_finished(folder):  # another process finished it while this one waited
            return
        checkpoint = folder.path / "checkpoint.pt"
        # Read here, so that a damaged one is refused before anything is written.
        state = load_checkpoint(checkpoint, folder.identity) if checkpoint.exists() else None
        with recorded(folder.path, resume_command(settings.role, settings.overrides)) as progress:
            _train_in_folder(run, parts, generator_identity, state, progress)


def trains_nothing(settings: Settings) -> bool:
    """Whether a generator is asked for where the experiment has none."""
    return settings.role == "generator" and settings.values["generator"] is None


def folders_of(
    settings: Settings, facts: dict[str, Any], existing: Mapping[str, Path] | None = None
) -> tuple[RunFolder, RunFolder | None]:
    """The run's folder and, for a classifier that uses a generator, that generator's; no file is touched.

    Args:
        facts: of the data set; see `DataSource.facts`.
        existing: see `RunFolder`.
    """
    values = settings.values
    runs_dir = Path(values["machine"]["runs_dir"]).expanduser()
    spec = generator_spec(values, facts)
    generator = None
    if settings.role == "classifier":
        if build.needs_generator(values) and values["generator"] is not None:
            generator = RunFolder(runs_dir, spec, _readable_name(replace(settings, role="generator")), existing)
        spec = classifier_spec(values, facts, generator.identity if generator else None)
    return RunFolder(runs_dir, spec, _readable_name(settings), existing), generator


def _train_in_folder(
    run: Run, parts: Parts, generator_identity: str | None, state: dict[str, Any] | None, progress: Progress
) -> None:
    values, folder, data = run.values, run.folder, parts.data
    config = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    folder.describe(config, data.split(values["split_seed"]), run.machine.describe())
    with _log_file(folder.path / "train.log"):
        log.info(
            "%s: %d images of %d classes, %s", folder.path, len(data.labels), len(data.classes), run.machine.device
        )
        size, cache = parts.views.subset.images.shape[-1], folder.path.parent.parent / "segments"
        segments = build.segments(data, size, parts.mask, run.source, cache, values["machine"]["workers"])
        if segments is not None:
            parts.views.attach_segments(segments)
        if values["wandb"]["mode"] != "disabled":
            run.tracker = _tracker(run)
        last = fit(
            parts.training,
            parts.streams,
            folder.path,
            folder.identity,
            run.machine,
            run.tracker,
            values["monitor"]["checkpoint_seconds"],
            state,
            progress,
        )
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parts.weights.state_dict().items()}
        metadata = {"identity": folder.identity}
        # Not by save_file, whose file nobody else may read and which leaves one of another name when it is killed.
        write_atomically(folder.weights, lambda path: path.write_bytes(save(tensors, metadata)))
        result = _result(run, parts, generator_identity, last)
        if run.settings.role == "classifier":
            curves = folder.path / "accuracy.png"
            draw_curves(read_json_lines(folder.path / "metrics.jsonl"), curves, folder.name)
            run.tracker.log_image("confusion", folder.path / "confusion.png")
        run.tracker.finish(result["test"] or {})
        folder.finish(result, values["monitor"]["keep_checkpoint"])
        log.info("%s", _summary(folder, result))


def _tracker(run: Run) -> WandbTracker:
    values, names, folder = run.values, run.settings.names, run.folder
    experiment = names.get("experiment") or "no experiment"
    # Runs that differ in their seed only are a group, whose mean W&B can show.
    group = folder.name.removesuffix(f"-s{values['seed']}-{folder.identity}")
    tags = [values["dataset"]["name"], experiment]
    return WandbTracker(
        values["wandb"], folder.identity, folder.name, run.settings.role, folder.path, values, group, tags
    )


def _result(run: Run, parts: Parts, generator_identity: str | None, last: dict[str, Any]) -> dict[str, Any]:
    values, names = run.values, run.settings.names
    return {
        "format": FORMAT,
        "role": run.settings.role,
        "dataset": values["dataset"]["name"],
        "experiment": names.get("experiment"),
        "method": values["method"] or names.get("experiment") or names.get("mixer"),
        "augment": " + ".join(filter(None, (_chosen(run.settings, group) for group in ("augment", "erase")))),
        "model": _chosen(run.settings, "model" if run.settings.role == "classifier" else "generator"),
        "max_labels_per_class": values["max_labels_per_class"],
        "seed": values["seed"],
        "split_seed": values["split_seed"],
        "identity": run.folder.identity,
        "generator_identity": generator_identity,
        "epochs": last["epoch"],
        "steps": last["step"],
        "seconds": last["seconds"],
        "device": run.machine.describe(),
        "num_train": len(parts.data.labels),
        "num_test": parts.num_test,
        "test": last.get("test"),
    }


def _chosen(settings: Settings, group: str) -> str | None:
    """The group's option with what the command line changed in it: `wideresnet_16_8 (width=2)`."""
    own = (word.lstrip("+") for word in settings.overrides)
    changes = [word.removeprefix(f"{group}.") for word in own if word.startswith(f"{group}.")]
    name = settings.names.get(group)
    return f"{name} ({', '.join(changes)})" if name and changes else name


def _report_if_finished(folder: RunFolder) -> bool:
    result = folder.result()
    if result is not None:
        log.info("done already: %s", _summary(folder, result))
    return result is not None


def _summary(folder: RunFolder, result: dict[str, Any]) -> str:
    if result["test"] is None:
        return f"{folder.path}: generator trained for {result['steps']} steps in {result['seconds']:.0f} s"
    return (
        f"{folder.path}: test accuracy {100 * result['test']['accuracy']:.2f} % on {result['num_test']} images "
        f"after {result['steps']} steps in {result['seconds']:.0f} s"
    )


def _readable_name(settings: Settings) -> str:
    values, names = settings.values, settings.names
    count = values["max_labels_per_class"]
    method = names.get("experiment") or names.get("mixer") or "run"
    if settings.role == "generator":
        # Experiments may share a generator: a name of theirs would let two processes begin it in two folders at once.
        method = "_".join(filter(None, (names.get("generator"), names.get("mask"))))
    name = f"{values['dataset']['name']}-n{size_name(count)}-{method}-s{values['seed']}"
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
