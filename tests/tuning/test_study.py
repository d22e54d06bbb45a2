"""A study is the same whatever interrupts it; checked with runs that are a formula."""

import json
import math
import random
import warnings

import pytest

from chimeramix.config.search import Axis
from chimeramix.errors import RunFailure, UserError
from chimeramix.tuning.rungs import Rung, rungs_of
from chimeramix.tuning.sampler import ask, importances
from chimeramix.tuning.study import Study, search_on
from chimeramix.tuning.trials import Outcome, best_of, do_generation

AXES = [
    Axis("lr", "lr", "lr=tag(log,interval(0.001,1))", "float", 0.001, 1.0, log=True),
    Axis("width", "width", "width=range(1,9)", "int", 1, 8, step=1),
    Axis("mixer", "mixer", "mixer=a,b", "choice", choices=("a", "b")),
]
RUNGS = rungs_of("epochs", 9, 2)


class Killed(BaseException):
    pass


def accuracy(values, part):
    """Best at lr 0.1 and mixer b; the width hardly matters."""
    score = 0.9 - 0.1 * abs(math.log10(values["lr"]) + 1) - 0.2 * (values["mixer"] == "a") - 0.001 * values["width"]
    return score + 0.01 * part


def run(trials, rung):
    found = {}
    for number, values in trials.items():
        diverged = values["lr"] > 0.8
        found[number] = [
            Outcome(f"{number}-{part}", f"run {part}", part, 0, reason="a loss is no longer finite")
            if diverged
            else Outcome(f"{number}-{part}", f"run {part}", part, 0, accuracy(values, part), (rung.epoch or 9) * 10)
            for part in range(rung.parts)
        ]
    return found


def study_in(folder, **changes):
    given = {"axes": AXES, "at_once": 4, "seed": 0, "maximise": True, "about": {"metric": "accuracy", "budget": {}}}
    return Study(folder / "study", "0123456789ab", **(given | changes))


def search(study, wanted=24, runner=run, rungs=RUNGS):
    return search_on(study, wanted, rungs, runner, lambda trial, so_far: None)


def journal_of(study):
    """What Optuna itself reads there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(study.folder / "study.journal"))
        )
        return optuna.load_study(study_name=study.folder.name, storage=storage)


def left_by(study):
    trials = [
        (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values, trial.user_attrs)
        for trial in journal_of(study).trials
    ]
    return (study.folder / "tuning.json").read_bytes(), trials


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    study = study_in(tmp_path_factory.mktemp("undisturbed"))
    study.folder.mkdir()
    search(study)
    return left_by(study)


def test_killed_at_any_call_it_ends_the_same(tmp_path, undisturbed):
    """Each process is killed a few calls on: before a rung, between tuning.json and the journal, within the journal."""
    study = study_in(tmp_path)
    study.folder.mkdir()
    draw = random.Random(1)
    kills = 0
    for _ in range(200):
        left = draw.randrange(1, 5)

        def runner(trials, rung):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return run(trials, rung)

        try:
            search(study, runner=runner)
        except Killed:
            kills += 1
            if draw.random() < 0.5:  # as left by a kill in the middle of writing
                (study.folder / ".study.journal.tmp").write_bytes(b'{"op_code": 0')
                (study.folder / ".study.journal.tmp.lock").write_text("")
                (study.folder / ".tuning.json.tmp").write_text('{"trials": [')
        else:
            break
    assert kills > 3
    assert left_by(study) == undisturbed
    assert not (study.folder / ".study.journal.tmp.lock").exists()


def test_a_generation_is_written_as_a_whole_before_the_journal(tmp_path, undisturbed, monkeypatch):
    study = study_in(tmp_path)
    study.folder.mkdir()
    search(study, 4)
    with monkeypatch.context() as patch:
        calls = []

        def killed_second(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                raise Killed

        patch.setattr("chimeramix.tuning.study.write_journal", killed_second)
        with pytest.raises(Killed):
            search(study, 8)
    assert len(study.trials()) == 8
    assert len(journal_of(study).trials) == 4  # one generation behind
    search(study)
    assert left_by(study) == undisturbed


@pytest.mark.parametrize("damage", [b"", b"nonsense\n", b'{"op_code":0,"worker_id":"x","study_na'])
def test_a_damaged_journal_is_written_anew(tmp_path, undisturbed, damage):
    study = study_in(tmp_path)
    study.folder.mkdir()
    search(study, 8)
    (study.folder / "study.journal").write_bytes(damage)
    search(study)
    assert left_by(study) == undisturbed


def test_more_trials_go_on_with_the_same_study(tmp_path, undisturbed):
    study = study_in(tmp_path)
    study.folder.mkdir()
    for wanted in (4, 12, 24):
        trials = search(study, wanted)
        assert len(trials) == wanted
    assert left_by(study) == undisturbed
    assert search(study, 24) == trials  # nothing left to do


def test_another_seed_is_another_search(tmp_path):
    first, other = (study_in(tmp_path, seed=seed).next_values([]) for seed in (0, 1))
    assert first != other


def test_few_choices_are_each_tried_once(tmp_path):
    axes = [
        Axis("width", "width", "width=range(1,4)", "int", 1, 3, step=1),
        Axis("mixer", "mixer", "mixer=a,b", "choice", choices=("a", "b")),
    ]
    study = study_in(tmp_path, axes=axes, at_once=3, own={"width": 2, "mixer": "a"})
    study.folder.mkdir()

    def widths(trials, rung):
        return {number: [Outcome("", "", 0, 0, values["width"] / 10, 1)] for number, values in trials.items()}

    trials = search(study, 6, widths, [Rung(9, None, 1)])
    assert trials[0].values == {"width": 2, "mixer": "a"}
    assert len({tuple(trial.values.values()) for trial in trials}) == 6
    assert len(search(study, 9, widths, [Rung(9, None, 1)])) == 9  # there is nothing new, and that is no error


def test_optuna_reads_the_states(undisturbed):
    record, journal = undisturbed
    trials = json.loads(record)["trials"]
    states = {"complete": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
    assert [states[trial["state"]] for trial in trials] == [state for _, state, *_ in journal]
    assert {"complete", "stopped"} <= {trial["state"] for trial in trials}
    for trial, (_, _, params, values, scores, notes) in zip(trials, journal, strict=True):
        assert trial["values"] == params
        assert values == ([trial["score"]] if trial["state"] == "complete" else None)
        assert dict(trial["rungs"]) == scores
        assert notes["steps"] == trial["steps"]


def test_it_finds_what_is_good(tmp_path):
    """Later trials are better than the first, random ones."""
    study = study_in(tmp_path)
    study.folder.mkdir()
    trials = search(study, 40, rungs=[Rung(9, None, 2)])
    means = [sum(trial.score or 0 for trial in half) / len(half) for half in (trials[:10], trials[-10:])]
    assert means[1] > means[0] + 0.05
    best = best_of(trials, maximise=True)
    assert best.values["mixer"] == "b"
    assert 0.02 < best.values["lr"] < 0.5


def test_the_keys_that_matter_are_known():
    drawn = ask(AXES, [], 80, seed=0, maximise=True)
    trials = do_generation(0, drawn, [Rung(9, None, 1)], [], run, maximise=True)
    shares = importances(AXES, trials, maximise=True)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert min(shares, key=shares.get) == "width"
    assert importances(AXES, trials[:7], maximise=True) == {}


def test_the_sampler_keeps_away_from_where_training_diverges(tmp_path):
    """Optuna takes no notice of failed trials; here they are the worst. Compared with leaving them out."""
    axes = AXES[:1]
    study = study_in(tmp_path, axes=axes)
    study.folder.mkdir()

    def diverging(trials, rung):
        return {
            number: [Outcome("", "", 0, 0, None if values["lr"] > 0.03 else 0.5 + values["lr"], 10, "diverged")]
            for number, values in trials.items()
        }

    trials = search(study, 24, diverging, [Rung(9, None, 1)])
    failed = [trial for trial in trials if trial.state == "failed"]
    assert len(failed) > 3
    assert failed[0].reason.endswith("diverged")
    drawn = [ask(axes, trials, 1, seed, maximise=True)[0]["lr"] for seed in range(40)]
    without = [trial for trial in trials if trial.state != "failed"]
    careless = [ask(axes, without, 1, seed, maximise=True)[0]["lr"] for seed in range(40)]
    assert sum(lr > 0.03 for lr in drawn) < sum(lr > 0.03 for lr in careless)


def test_it_stops_where_all_trials_fail(tmp_path):
    study = study_in(tmp_path)
    study.folder.mkdir()

    def full_disk(trials, rung):
        return {number: [Outcome("", "run 0", 0, 0, reason="full disk")] for number in trials}

    with pytest.raises(RunFailure, match="all 4 trials of this generation failed, the first one with: run 0: full"):
        search(study, runner=full_disk)
    assert study.trials() == []  # mended, they are asked for again


def test_a_loss_is_minimised(tmp_path):
    study = study_in(tmp_path, maximise=False)
    study.folder.mkdir()
    trials = search(study, 24)
    complete = [trial.score for trial in trials if trial.state == "complete"]
    assert best_of(trials, maximise=False).score == min(complete)
    assert journal_of(study).direction.name == "MINIMIZE"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "identity": "0123456789ab", "trials": [{}]}'])
def test_a_damaged_record_is_named(tmp_path, text):
    study = study_in(tmp_path)
    study.folder.mkdir()
    study.record.write_text(text)
    with pytest.raises(UserError, match=r"tuning\.json is damaged"):
        study.trials()


def test_two_processes_do_not_search_at_once(tmp_path):
    study = study_in(tmp_path)
    with study.lock(), pytest.raises(RunFailure, match="another process is at work"), study.lock():
        pass
