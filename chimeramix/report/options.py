"""The options of `chimeramix report`."""

import argparse
from dataclasses import fields
from pathlib import Path

from chimeramix.report.command import FORMATS, report
from chimeramix.report.extras import Extras
from chimeramix.report.store import METRICS


def add_to(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", type=Path, help="a folder of runs (machine.runs_dir)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="terminal",
        help="of the tables; csv: a line per result, runs-csv: a line per run (default: %(default)s)",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        default="accuracy",
        help="of the test set or the held-out images; accuracy_median: of the last epochs, of runs with "
        "evaluation.median_of (default: %(default)s)",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("METHOD", "OTHER"),
        help="two methods of one model, named as in the table, over the same splits, with a 95 %% confidence interval",
    )
    parser.add_argument(
        "--against",
        metavar="METHOD",
        help="every method's difference to this one over the same splits, with a 95 %% confidence interval; with "
        "--plots drawn as well",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with this value of a key of their configuration or record, such as optimizer.lr=0.1 or "
        "max_labels_per_class=5,10; repeat it for further conditions",
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="averaged weights and views against the plain ones of the same runs, with a 95 %% confidence interval",
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw plots into it, as PNG and SVG")
    parser.add_argument(
        "--per-class", action="store_true", help="with --compare: the accuracy within each class, and its difference"
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="mean probabilities of the seeds that were trained on the same split"
    )
    parser.add_argument(
        "--ensemble-of",
        nargs="+",
        default=(),
        metavar="METHOD",
        help="mean probabilities of several methods, named as in the table, where all of them have the seed and split",
    )
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="NLL, expected calibration error and Brier score; NLL and error also after temperature scaling, where "
        "validation runs (validation.fold=...) give a temperature",
    )
    parser.add_argument(
        "--effort", action="store_true", help="steps, seconds and FLOPs of the runs and of the generators that they use"
    )
    parser.add_argument(
        "--over",
        metavar="KEY",
        help="the metric over the values of a key, such as mask.mix_size; with --plots drawn as well",
    )
    parser.add_argument(
        "--hardest", type=Path, metavar="FILE.png", help="draw the images that most runs get wrong, for each data set"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="where the images of --hardest are, if they are not where the runs read them (dataset.root of a folder of "
        "images, machine.data_dir of other data sets)",
    )


def run(options: argparse.Namespace) -> None:
    """Prints what was asked for; see `chimeramix.report.command.report`."""
    extras = Extras(**{field.name: getattr(options, field.name) for field in fields(Extras)})
    report(options.runs, options.format, options.metric, options.compare, options.plots, options.where, extras)
