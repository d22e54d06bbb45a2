"""The search space in Hydra's grammar: what is read, what is refused, and that nothing is written by then."""

import math

import pytest

from chimeramix.config.search import Axis, axes_of, read_space
from chimeramix.config.tree import Tree
from chimeramix.errors import UserError
from chimeramix.tuning.options import Options
from chimeramix.tuning.sampler import ask
from chimeramix.tuning.search import read_search

COMMAND = [
    "train_classifier.py",
    "+dataset=demo/digits",
    "+experiment=baseline",
    "max_labels_per_class=4",
    "epochs=4",
    "batch_size=8",
    "model.width=1",
    "machine.device=cpu",
    "hydra/launcher=basic",
]


def axis_of(word):
    (axis,) = axes_of(read_space(Tree("classifier"), [word]))
    return axis


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=interval(1,5)", ("float", 1, 5, False, None, ())),
        ("optimizer.lr=tag(log,interval(0.001,0.1))", ("float", 0.001, 0.1, True, None, ())),
        ("batch_size=int(interval(4,8))", ("int", 4, 8, False, None, ())),
        ("batch_size=tag(log,int(interval(4,64)))", ("int", 4, 64, True, None, ())),
        ("batch_size=range(4,8)", ("int", 4, 7, False, 1, ())),
        ("batch_size=range(8,4,-2)", ("int", 6, 8, False, 2, ())),
        ("optimizer.momentum=range(0,1,0.1)", ("float", 0, 0.9, False, 0.1, ())),  # ten steps of 0.1 are not quite 1
        ("augment=flip_crop,trivialaugment", ("choice", 0, 0, False, None, ("flip_crop", "trivialaugment"))),
        ("optimizer.nesterov=choice(true,false)", ("choice", 0, 0, False, None, ("true", "false"))),
        ("erase=null,cutout", ("choice", 0, 0, False, None, ("null", "cutout"))),
        ("augment=glob(auto*,exclude=x)", None),
        ("schedule=glob(co*,exclude=*end)", ("choice", 0, 0, False, None, ("constant", "cosine"))),
    ],
)
def test_hydras_grammar(word, expected):
    if expected is None:
        with pytest.raises(UserError, match="one value only"):
            axis_of(word)
        return
    axis = axis_of(word)
    assert (axis.kind, axis.low, axis.high, axis.log, axis.step, axis.choices) == expected


def test_other_words_stay_where_they_are():
    words = read_space(Tree("classifier"), ["+dataset=demo/digits", "+experiment=baseline,cutmix", "epochs=3"])
    assert [word if isinstance(word, str) else word.text("cutmix") for word in words] == [
        "+dataset=demo/digits",
        "+experiment=cutmix",
        "epochs=3",
    ]


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr=tag(log,interval(0.00123456,0.0123456))",
        "batch_size=tag(log,int(interval(1,9)))",
        "batch_size=range(3,20,4)",
        "optimizer.momentum=range(0.1,0.75,0.05)",
        "loss.x=choice(a,b,1)",
    ],
)
def test_drawn_values_lie_on_the_axis(word):
    axis = axis_of(word)
    drawn = {values[axis.key] for values in ask([axis], [], 100, seed=0, maximise=True)}
    if axis.kind == "choice":
        assert drawn == {"a", "b", "1"}
    elif axis.step is not None:
        count = round((axis.high - axis.low) / axis.step) + 1
        expected = {float(f"{axis.low + position * axis.step:.6f}") for position in range(count)}
        assert drawn == expected
    elif axis.kind == "int":
        assert drawn == set(range(1, 10))
    else:
        assert all(axis.low <= value <= axis.high and float(f"{value:.4g}") == value for value in drawn)
        middle = math.sqrt(axis.low * axis.high)  # even on the log scale
        assert 35 < sum(value < middle for value in drawn) < 65


def test_values_on_the_axis():
    assert axis_of("optimizer.lr=interval(0.1,0.2)").holds(0.15) == 0.15
    assert axis_of("optimizer.lr=interval(0.1,0.2)").holds(0.3) is None
    assert axis_of("optimizer.lr=0.1,0.2").holds(0.2) == "0.2"
    assert axis_of("erase=null,cutout").holds(None) == "null"
    assert axis_of("optimizer.momentum=range(0,1,0.1)").holds(0.3) == 0.3
    assert axis_of("optimizer.momentum=range(0,1,0.1)").holds(0.35) is None
    assert axis_of("batch_size=int(interval(1,9))").holds(None) is None


def test_the_first_trial_has_the_own_values():
    search = read_search(
        [*COMMAND, "optimizer.lr=tag(log,interval(0.001,0.5))", "augment=flip_crop,trivialaugment"], Options()
    )
    assert search.study.own == {"optimizer.lr": 0.05, "augment": "flip_crop"}  # conf/dataset/demo/digits.yaml
    assert search.study.next_values([])[0] == search.study.own
    search = read_search([*COMMAND, "optimizer.lr=tag(log,interval(0.1,0.5))"], Options())
    assert search.study.own is None


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        ("seed=range(0,3)", {}, ["seed=range(0,3)", "--seeds 3"]),
        ("split_seed=0,1", {}, ["--seeds 3"]),
        ("generator.seed=0,1", {}, ["--seeds 3"]),
        ("validation.seed=0,1", {}, ["--folds and --repeats"]),
        ("max_labels_per_class=5,10", {}, ["--for max_labels_per_class=N"]),
        ("machine.threads=1,2", {}, ["changes no number"]),
        ("hydra/launcher=local,slurm", {}, ["changes no number"]),
        ("+dataset=demo/digits,cifair10", {}, ["a study is of one data set"]),
        ("optimizer.lr=0.1", {}, ["nothing is searched", "interval"]),
        ("optimizer.lrr=interval(0.1,1)", {}, ["unknown key optimizer.lrr; did you mean optimizer.lr?"]),
        ("optimizer.lr=interval(1,0.1)", {}, ["the smaller end first, interval(0.1,1.0)"]),
        ("optimizer.lr=interval(0.1,inf)", {}, ["two finite ends"]),
        ("optimizer.lr=tag(log,interval(0,1))", {}, ["both ends must be above 0"]),
        ("optimizer.lr=tag(lin,interval(0.1,1))", {}, ["no tag lin"]),
        ("optimizer.lr=tag(log,range(0.1,1,0.1))", {}, ["tag(log,interval(0.1,0.9))"]),
        ("optimizer.lr=shuffle(0.1,1)", {}, ["no order"]),
        ("optimizer.lr=choice(0.1)", {}, ["write optimizer.lr=0.1"]),
        ("optimizer.lr=range(1,1)", {}, ["empty range"]),
        ("optimizer.lr=0.1,1 optimizer.lr=1,2", {}, ["optimizer.lr is searched twice"]),
        ("~optimizer.lr=0.1,1", {}, ["can't be removed"]),
        ("optimizer.lr=a,b", {}, ["optimizer.lr=a: must be a number"]),
        ("batch_size=interval(4,8)", {}, ["must be a whole number", "batch_size=int(interval(4,8))"]),
        ("model.width=interval(1,3)", {}, ["model.width=int(interval(1,3))"]),
        ("model.dropout=interval(0,1.5)", {}, ["dropout", "1.5"]),  # the upper end alone
        ("augment=flip_crop,trivialugment", {}, ["did you mean trivialaugment?"]),
        ("optimizer.lr=0.1,1 rerun=true", {}, ["rerun", "remove this word"]),
        ("optimizer.lr=0.1,1 validation.fold=1", {}, ["validation.fold", "--folds"]),
        ("optimizer.lr=0.1,1 monitor.stop_after=1", {}, ["--stop epochs"]),
        ("optimizer.lr=0.1,1 hydra/sweeper=optuna", {}, ["chimeramix tune"]),
        ("optimizer.lr=0.1,1 validation.extra=2", {"folds": 3}, ["--folds 3", "validation.extra"]),
        ("optimizer.lr=0.1,1 validation.published=true", {"repeats": 2}, ["--repeats 2"]),
        ("optimizer.lr=0.1,1 validation.extra=2", {"stop": "folds"}, ["--stop folds", "one held-out part"]),
        (
            "optimizer.lr=0.1,1",
            {"folds": 5},
            ["4 images of a class", "--folds 4 --repeats 2", "--for max"],
        ),
        ("optimizer.lr=0.1,1 --trials=3", {}, ["--trials=3", "before train_classifier.py"]),
        ("optimizer.lr=0.1,1 --folds 3", {}, ["--folds", "before train_classifier.py"]),
        ("optimizer.lr=0.1,1 --cfg job", {}, ["no dry run"]),
        ("optimizer.lr=0.1,1", {"folds": 1}, ["--folds 1: must be at least 2"]),
        ("optimizer.lr=0.1,1", {"trials": 0}, ["--trials 0"]),
        ("optimizer.lr=0.1,1", {"at_once": 0}, ["--at-once 0"]),
        ("optimizer.lr=0.1,1", {"overrides": ["max_label=5"]}, ["did you mean max_labels_per_class?"]),
        ("optimizer.lr=0.1,1", {"overrides": ["optimizer.lr=5"]}, ["--for optimizer.lr=5"]),
        ("optimizer.lr=0.1,1", {"overrides": ["max_labels_per_class=many"]}, ["must be a whole number"]),
        ("epochs=2,3", {"stop": "epochs"}, ["unequal epochs", "--stop folds"]),
        ("optimizer.lr=0.1,1 epochs=1", {"stop": "epochs"}, ["epochs=1"]),
    ],
)
def test_refused_in_a_line_before_anything_is_written(tmp_path, words, options, said):
    runs = tmp_path / "runs"
    with pytest.raises(UserError) as refused:
        read_search([*COMMAND, f"machine.runs_dir={runs}", *words.split()], Options(**options))
    message = str(refused.value)
    assert "\n" not in message
    assert all(part in message for part in said), message
    assert not runs.exists()


@pytest.mark.parametrize("words", [[], ["train_generator.py", "a=1,2"], ["optimizer.lr=0.1,1"]])
def test_it_needs_a_classifiers_command(words):
    with pytest.raises(UserError, match=r"train_classifier\.py"):
        read_search(words, Options())


def test_what_makes_another_study():
    def study(*more, **options):
        words = [*COMMAND, "optimizer.lr=tag(log,interval(0.001,0.5))", *more]
        return read_search(words, Options(**options)).study.identity

    same = study()
    assert study(trials=40) == same
    assert study("machine.threads=1", "sweep.pack=2", "monitor.evaluate_every=1") == same
    assert study(overrides=["max_labels_per_class=2"]) == same
    assert study(folds=3) == same  # the default
    others = [study("seed=1"), study("epochs=5"), study("optimizer.momentum=0.8,0.9"), study(folds=2), study(repeats=2)]
    others += [study(seeds=2), study(at_once=2), study(stop="folds"), study(metric="loss")]
    assert len({same, *others}) == 10


def test_an_axis_is_one_key():
    assert Axis("a", "+a", "+a=1,2", "choice", choices=("1", "2")).text("2") == "+a=2"
