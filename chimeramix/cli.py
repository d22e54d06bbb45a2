"""`chimeramix COMMAND`: the tools around training. `python -m chimeramix` does the same."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chimeramix import __version__
from chimeramix.config.place import entry_point
from chimeramix.evaluate import options as evaluation
from chimeramix.report import options as reporting
from chimeramix.report.command import FORMATS
from chimeramix.terminal import ended_by_sigterm, exit_status, set_up_logging
from chimeramix.tuning import options as tuning
from chimeramix.use import options as using

if TYPE_CHECKING:
    from chimeramix.data.splits import Split


TRAINING = {"train-generator": "generator", "train-classifier": "classifier"}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns 0, 1 (failure), 2 (user's mistake) or 128 + signal number, errors are one line each."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in TRAINING:  # Hydra reads the rest
        from chimeramix.app import run

        return run(TRAINING[words[0]], words[1:])
    if words and words[0] == "-sc":  # Hydra's functions for shells; `chimeramix train-classifier --help` names them
        from chimeramix.app import complete

        return complete(words)
    parser = argparse.ArgumentParser(prog="chimeramix", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    prepare = commands.add_parser("prepare", help="download and check a data set")
    prepare.add_argument("dataset", help="as after +dataset=, such as cifair10 or more/cifar100")
    prepare.add_argument("overrides", nargs="*", help="such as machine.data_dir=DIR or machine.mirror=ADDRESS")
    prepare.add_argument("--config-dir", "-cd", metavar="DIR", help="a folder with a data set's file of your own")

    for name, role in TRAINING.items():
        train = f"train a {role}, or a sweep of them"
        commands.add_parser(name, help=f"{train}: the same as train_{role}.py, see chimeramix {name} --help")

    report = commands.add_parser("report", help="mean and standard deviation over seeds of all finished runs")
    reporting.add_to(report)

    ensemble = commands.add_parser("ensemble", help="the mean probability of several runs, beside each of them")
    ensemble.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a finished classifier's folder")
    ensemble.add_argument("--format", choices=FORMATS[:3], default="terminal", help="(default: %(default)s)")

    evaluate = commands.add_parser(
        "evaluate",
        help="a classifier's metrics on other images; or what a trained generator's images are worth",
        usage="%(prog)s [options] RUN [+dataset=NAME KEY=VALUE ...]",
        description=evaluation.DESCRIPTION,
    )
    evaluation.add_to(evaluate)

    embed = commands.add_parser(
        "embed",
        help="draw compositions, training images and others in a classifier's feature space",
        description="Draws in two dimensions what the classifier's last layer gets of its training images, of what its "
        "mixer makes of them, and of images of the training part that the run has not seen. The test part is not read.",
    )
    evaluation.add_embed(embed)

    synthesise = commands.add_parser(
        "synthesise",
        help="a folder of images that a trained generator composes",
        description=using.SYNTHESISE,
    )
    using.add_synthesise(synthesise)

    predict = commands.add_parser(
        "predict",
        help="the classes of images, by a finished classifier or by several",
        usage="%(prog)s [options] RUN [RUN ...] PATH [PATH ...]",
        description="Classifies images as the run classified its test images: with the same preprocessing, weights and "
        "views. Of several runs, the mean probability counts. Files that can't be read are named and left out; then "
        "the exit status is 1.",
    )
    using.add_predict(predict)

    export = commands.add_parser(
        "export",
        help="a finished classifier as a file for other programs",
        description="Writes a classifier for use without its run: its program, which takes 8-bit images of any size "
        "and gives logits, or a folder for the Hugging Face Hub. What was written is loaded again and compared with "
        "the run before it is handed over.",
    )
    using.add_export(export)

    trains = entry_point("classifier")
    status = commands.add_parser("status", help="how far the runs are, and the commands that finish the rest")
    status.add_argument(
        "runs", type=Path, nargs="?", default=Path("runs"), help="a folder of runs (machine.runs_dir; default: runs)"
    )
    status.add_argument(
        "words",
        metavar="command",
        nargs=argparse.REMAINDER,
        help=f"a sweep's command, {trains} +dataset=... seed=range(0,5), whose missing runs are to be shown; "
        "without it those of the sweeps that were started in this folder",
    )

    tune = commands.add_parser(
        "tune",
        help="search hyper-parameters on held-out images",
        usage=f"%(prog)s [options] {trains} +dataset=NAME 'KEY=tag(log,interval(LOW,HIGH))' KEY=A,B ...",
        description="Searches hyper-parameters on held-out images; the test set is not read. What is searched stands "
        "in the command itself: interval(a,b), tag(log,interval(a,b)), int(interval(a,b)), range(start,stop,step), "
        "choice(a,b) or a,b. The same command goes on with a search that was stopped, a larger --trials continues it.",
    )
    tuning.add_to(tune, trains)

    options, rest = parser.parse_known_args(words)
    if rest and (options.command not in ("prepare", "evaluate") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # overrides behind an option
        options.overrides += rest
    set_up_logging()
    with ended_by_sigterm():
        return exit_status(lambda: _do(options))


def _do(options: argparse.Namespace) -> None:
    if options.command == "prepare":
        _prepare(options.dataset, options.overrides, options.config_dir)
    elif options.command == "status":
        _status(options.runs, options.words)
    elif options.command == "tune":
        _tune(options)
    elif options.command == "ensemble":
        _ensemble(options.runs, options.format)
    elif options.command == "evaluate":
        _evaluate(options)
    elif options.command == "embed":
        _embed(options)
    elif options.command == "synthesise":
        _synthesise(options)
    elif options.command == "predict":
        _predict(options)
    elif options.command == "export":
        _export(options)
    else:
        reporting.run(options)


def _prepare(dataset: str, overrides: list[str], config_dir: str | None) -> None:
    # Imported here: a report needs neither Hydra nor torch.
    from chimeramix.config.compose import compose_settings
    from chimeramix.runs import build

    config = compose_settings("classifier", [f"+dataset={dataset}", *overrides], config_dir).config
    source = build.source(config)
    source.prepare()
    if getattr(source, "test_only", False):
        part = source.test()
        print(f"{dataset} is ready: {len(part.classes)} classes, no training and {len(part.labels)} test images")
        return
    train = source.train()
    split: Split | None = build.part(config, "split")
    if split is not None:
        split.choose(source, train)  # fetches what the split needs
    test = "no" if config.validation.asked else len(source.test().labels)
    print(f"{dataset} is ready: {len(train.classes)} classes, {len(train.labels)} training and {test} test images")


def _ensemble(runs: list[Path], form: str) -> None:
    from chimeramix.report.ensemble_command import ensemble

    ensemble(runs, form)


def _evaluate(options: argparse.Namespace) -> None:
    from chimeramix.evaluate.command import run

    run(options)


def _embed(options: argparse.Namespace) -> None:
    from chimeramix.evaluate.embedding import embed

    embed(
        options.run,
        options.method,
        options.count,
        options.others,
        options.seed,
        options.out,
        options.images,
        options.device,
    )


def _predict(options: argparse.Namespace) -> None:
    from chimeramix.use.predict import predict

    predict(using.PredictOptions.of(options))


def _synthesise(options: argparse.Namespace) -> None:
    from chimeramix.use.synthesise import synthesise

    synthesise(options.run, using.SynthesiseOptions.of(options))


def _export(options: argparse.Namespace) -> None:
    from chimeramix.use.export import export

    export(using.ExportOptions.of(options))


def _status(runs: Path, words: list[str]) -> None:
    from chimeramix.sweep import status

    if status.split_command([str(runs), *words])[0]:  # the folder is left out
        runs, words = Path("runs"), [str(runs), *words]
    status.show(runs, words)


def _tune(options: argparse.Namespace) -> None:
    from chimeramix.tuning.command import tune

    asked = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(tuning.Options)
        if field.name != "held_out"
    }
    tune(options.words, tuning.Options(**asked))
