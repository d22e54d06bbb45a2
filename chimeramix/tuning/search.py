"""From the words of `chimeramix tune` to a checked search; nothing is written."""

import dataclasses
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

from chimeramix.config.checks import did_you_mean
from chimeramix.config.compose import read_command_line, settings_of
from chimeramix.config.messages import options_of
from chimeramix.config.place import entry_point
from chimeramix.config.search import Axis, Words, axes_of, read_space
from chimeramix.config.settings import Settings
from chimeramix.config.sweep import read_sweep, sweep_of_jobs
from chimeramix.config.tree import Tree, tree_of
from chimeramix.config.values import read_condition
from chimeramix.errors import UserError
from chimeramix.runs import build
from chimeramix.runs.spec import identity_of, size_name
from chimeramix.sweep.driver import check_machines
from chimeramix.sweep.plan import PlannedRun, plan
from chimeramix.sweep.status import split_command
from chimeramix.sweep.trial import Trials
from chimeramix.tuning.options import Options
from chimeramix.tuning.rungs import Rung, rungs_of
from chimeramix.tuning.runner import Runs, words_with
from chimeramix.tuning.sampler import check_installed
from chimeramix.tuning.study import Study
from chimeramix.tuning.trials import Values

_NOT_GIVEN = {
    "rerun": "finished runs of a study count",
    "tuned": "the command that trains the winner says so by itself",
    "monitor.stop_after": "--stop epochs ends hopeless trials early",
    "validation.fold": "--folds says into how many parts the drawn images are cut",
    "validation.folds": "--folds says into how many parts the drawn images are cut",
    "validation.seed": "--repeats says how many times the drawn images are cut",
}
_OPTIONS = ("--trials", "--folds", "--repeats", "--seeds", "--at-once", "--stop", "--metric", "--for")
_OWN_PARTS = ("validation.extra", "validation.published")


@dataclass(frozen=True)
class Search:
    """What a command line asks for.

    Attributes:
        words: of the command, its space included.
        rungs: of each trial.
        run: does the runs of trials.
    """

    tree: Tree
    words: Words
    options: Options
    rungs: list[Rung]
    study: Study
    run: Runs

    def winner(self, values: Values, tuned: str | None = None) -> list[str]:
        """The words of the command that trains with these values on all drawn images."""
        return _winner(self.words, self.options, values, tuned)


def read_search(words: list[str], options: Options) -> Search:
    """Reads and checks a command, up to building the parts of the runs at the ends of the space.

    Raises:
        UserError: for a mistake.
        RunFailure: where Optuna is not installed.
    """
    options.check()
    version = check_installed()
    role, rest = split_command(words)
    if role != "classifier":
        given = shlex.join(words[:1]) or "no command"
        raise UserError(
            f"{given}: give the command of a classifier, with what to search: "
            f"{entry_point('classifier')} +dataset=... 'optimizer.lr=tag(log,interval(0.001,0.1))'"
        )
    if late := [word for word in rest if word.partition("=")[0] in _OPTIONS]:
        raise UserError(f"{late[0]}: options of chimeramix tune stand before {entry_point(role)}")
    line = read_command_line(rest)
    if line.cfg or line.info or line.help or line.hydra_help:
        raise UserError(f"chimeramix tune has no dry run: ask {entry_point(role)} itself for --help, --info and --cfg")
    tree, overrides = tree_of(role, line.overrides, line.config_dir, line.config_name)
    space = read_space(tree, overrides)
    options = _with_parts(space, options)
    axes = axes_of(space)
    first = {axis.key: axis.probes()[0] for axis in axes}
    run, epochs = _try(tree, space, axes, first, options)
    assert run.settings is not None
    read_sweep(tree, _winner(space, options, first))  # what --for says
    if options.stop == "epochs" and len(epochs) > 1:
        raise UserError("--stop epochs: trials of unequal epochs can't be compared at one of them; take --stop folds")
    try:
        rungs = rungs_of(options.stop, max(epochs), options.parts)
    except ValueError as error:
        raise UserError(f"--stop epochs: {error}") from error
    command = shlex.join(["chimeramix", "tune", *options.typed(), entry_point(role), *tree.options, *overrides])
    study = _study(tree, space, options, run, command, version)
    return Search(tree, space, options, rungs, study, Runs(tree, space, options, run.settings.config.seed, command))


def _with_parts(space: Words, options: Options) -> Options:
    """The options, once the command's own words have been read for what is held out."""
    keys = [word.lstrip("+~").partition("=")[0] for word in space if isinstance(word, str)]
    for key in keys:
        if key in _NOT_GIVEN:
            raise UserError(f"{key}: {_NOT_GIVEN[key]}; remove this word")
    own = [key for key in keys if key in _OWN_PARTS]
    if own and options.folds is not None:
        raise UserError(f"--folds {options.folds}: {own[0]} says what is held out; remove one of the two")
    if "validation.published" in own and options.repeats > 1:
        raise UserError(f"--repeats {options.repeats}: there is one published part; remove --repeats")
    given = [word for word in space if isinstance(word, str) and word.lstrip("+").startswith(_OWN_PARTS)]
    options = replace(options, held_out=" ".join(given)) if own else replace(options, folds=options.folds or 3)
    options.check()
    return options


def _try(tree: Tree, space: Words, axes: list[Axis], first: Values, options: Options) -> tuple[PlannedRun, set[int]]:
    """Composes and builds the runs at the ends of each axis, with the first values of all others.

    Returns:
        The run with the first values, and the numbers of epochs that runs may have.
    """
    part = options.held_out_words()[0]
    sweeps = []
    for axis in axes:
        jobs = [[*words_with(space, {**first, axis.key: value}), *part] for value in axis.probes()]
        try:
            sweeps.append(sweep_of_jobs(tree, [], jobs))
        except UserError as error:
            raise UserError(f"{error}{_remedy(axis, str(error))}") from error
    config = sweeps[0].runs[0].config
    options.check_size(config, None if config.max_labels_per_class else build.class_sizes(build.source(config)))
    together = replace(sweeps[0], runs=[settings for sweep in sweeps for settings in sweep.runs])
    planned = plan(together)
    built = Trials()
    for run in planned.runs:
        built.run(run)
    check_machines(together, planned.runs)
    return planned.runs[0], {settings.config.epochs for settings in together.runs}


def _remedy(axis: Axis, reason: str) -> str:
    if axis.kind == "float" and axis.step is None and "whole number" in reason:
        return f"; for whole numbers write {axis.text(f'int(interval({axis.low:.0f},{axis.high:.0f}))')}"
    return ""


def _study(tree: Tree, space: Words, options: Options, run: PlannedRun, command: str, version: str) -> Study:
    assert run.settings is not None
    config, names, axes = run.settings.config, run.settings.names, axes_of(space)
    plain = {axis.key: dataclasses.asdict(replace(axis, word="", start="")) for axis in axes}
    identity = identity_of({"run": run.identity, "space": plain, "options": options.identifying()})
    searched = {axis.key for axis in axes}
    method = config.method or next(
        names[group] or "run"
        for group in ("experiment", "mixer", "dataset")
        if group not in searched and names.get(group)
    )
    name = re.sub(r"[^\w.+-]+", "_", f"{config.dataset['name']}-n{size_name(config.max_labels_per_class)}-{method}")
    parent = run.settings.runs_dir / "tuning"
    there = sorted(parent.glob(f"*-{identity}"))  # the identity decides, names are for people
    about = {
        "command": command,
        "dataset": config.dataset["name"],
        "method": method,
        "max_labels_per_class": config.max_labels_per_class,
        "space": {axis.key: axis.word for axis in axes},
        "held_out": options.describe_parts(),
        "for": options.overrides,
        "metric": options.metric,
        "budget": {"trials": options.trials, **options.identifying()},
        "versions": {"optuna": version},
    }
    return Study(
        folder=there[0] if there else parent / f"{name}-{identity}",
        identity=identity,
        axes=axes,
        at_once=options.at_once,
        seed=config.seed,
        maximise=options.maximise,
        own=_own_values(tree, space, axes, options),
        about=about,
    )


def _own_values(tree: Tree, space: Words, axes: list[Axis], options: Options) -> Values | None:
    """The values that the settings have without the space, None where it does not hold them all."""
    try:
        fixed = [word for word in space if isinstance(word, str)]
        settings = settings_of(tree, [*fixed, *options.held_out_words()[0]])
    except UserError:  # they need one of the choices
        return None
    values: Values = {}
    for axis in axes:
        value = axis.holds(_composed(settings, axis.key, tree))
        if value is None:
            return None
        values[axis.key] = value
    return values


def _composed(settings: Settings, key: str, tree: Tree) -> Any:
    if options_of(key, tree.folders):
        return settings.names.get(key)
    node: Any = dataclasses.asdict(settings.config)
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _winner(space: Words, options: Options, values: Values, tuned: str | None = None) -> list[str]:
    several = False
    for override in options.overrides:
        key, found = read_condition(override)
        several = several or len(found) > 1
        if key.startswith("validation") or key in {axis.key for axis in axes_of(space)}:
            known = did_you_mean(key, ["max_labels_per_class", "seed"])
            raise UserError(f"--for {override}: the winner has its own values and holds nothing out{known}")
    replaced = {read_condition(override)[0].lstrip("+") for override in options.overrides}
    dropped = ("validation.", *(() if several else ("hydra/", "hydra.", "sweep.")))
    words = [word for word in words_with(space, values) if not word.lstrip("+").startswith(dropped)]
    words = [word for word in words if word.lstrip("+").partition("=")[0] not in replaced]
    note = [f'tuned="{tuned}"'] if tuned else []
    return [*words, *options.overrides, *note]
