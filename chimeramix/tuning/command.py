"""`chimeramix tune`: trains the trials of a study generation by generation, and says how to train the winner."""

import logging

from chimeramix.config.values import read_condition
from chimeramix.errors import RunFailure
from chimeramix.runs.commands import train_command
from chimeramix.runs.spec import size_name
from chimeramix.terminal import counted, print_table
from chimeramix.tuning.options import Options
from chimeramix.tuning.pictures import draw_study
from chimeramix.tuning.sampler import importances
from chimeramix.tuning.search import Search, read_search
from chimeramix.tuning.study import search_on
from chimeramix.tuning.tables import describe, trials_table
from chimeramix.tuning.trials import Trial, best_of

log = logging.getLogger(__name__)


def tune(words: list[str], options: Options) -> None:
    """Searches, or goes on with a study that was begun, then prints and draws it; see `chimeramix tune --help`.

    Args:
        words: the command, `train_classifier.py +dataset=... optimizer.lr=...`.

    Raises:
        UserError: before anything is written.
        RunFailure: where all trials of a generation fail, or runs were stopped from outside.
        Interrupted, KeyboardInterrupt: after a signal; the same command goes on.
    """
    search = read_search(words, options)
    study, options = search.study, search.options
    with study.lock():

        def ended(trial: Trial, so_far: list[Trial]) -> None:
            log.info("%s", describe(trial, best_of(so_far, study.maximise), options.metric))

        there = study.trials()
        wanted = max(options.generations * options.at_once, len(there))
        log.info("%s: %d of %s done", study.folder, len(there), counted(wanted, "trial"))
        trials = search_on(study, wanted, search.rungs, search.run, ended)
        shares = importances(study.axes, trials, study.maximise)
        draw_study(study, trials, shares, options.metric)
    print_table(trials_table(study, trials, shares, options))
    print(f"All trials: {study.record}; pictures are beside it")
    best = best_of(trials, study.maximise)
    if best is None:
        raise RunFailure("no trial was trained to its end: search on with a larger --trials")
    print("To train the winner on all drawn images and test it once:")
    print(f"  {winner_command(search, best, len(trials))}")


def winner_command(search: Search, best: Trial, trials: int) -> str:
    """Trains the best trial's settings on all drawn images."""
    several = any(len(read_condition(word)[1]) > 1 for word in search.options.overrides)
    words = search.winner(best.values, tuned_text(search, best, trials))
    return train_command("classifier", [*search.tree.options, *words, *(["--multirun"] if several else [])])


def tuned_text(search: Search, best: Trial, trials: int) -> str:
    """What the winner's record says of where its settings come from."""
    options, about = search.options, search.study.about
    seeds = f", {options.seeds} seeds" if options.seeds > 1 else ""
    size = size_name(about["max_labels_per_class"])
    elsewhere = f"; for {' '.join(options.overrides)}" if options.overrides else ""
    text = (
        f"study {search.study.identity}: trial {best.number} of {trials} by validation {options.metric} on "
        f"{options.describe_parts()}{seeds}, {size} samples per class{elsewhere}"
    )
    return text.replace('"', "'")
