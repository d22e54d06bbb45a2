"""Grouping finished runs over their seeds."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chimeramix.cli import main
from chimeramix.errors import RunFailure, UserError
from chimeramix.report.results import Result, full_name, summarise
from chimeramix.report.store import read_store
from chimeramix.runs.state import read_state
from tests.report.store import add_run, write_record


def results_of(runs: Path, metric: str = "accuracy") -> list[Result]:
    return summarise(read_store(runs, metric))


def test_mean_and_sample_standard_deviation_over_seeds(tmp_path: Path) -> None:
    accuracies = [0.31, 0.29, 0.345]
    for seed, accuracy in enumerate(accuracies):
        add_run(tmp_path, "Baseline", seed, accuracy)
    (result,) = results_of(tmp_path)
    assert result.mean == pytest.approx(100 * np.mean(accuracies))
    assert result.std == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert result.method == "Baseline"


def held_out(**keys: Any) -> dict[str, Any]:
    """What a run that validates has in its identity."""
    return {"validation": {"fold": None, "folds": 3, "seed": 0, "extra": None, "published": False, **keys}}


def test_the_mean_is_over_folds_and_seeds(tmp_path: Path) -> None:
    accuracies = iter([0.3, 0.4, 0.5, 0.6, 0.8, 0.7])
    for seed in (0, 1):
        for fold in range(3):
            add_run(tmp_path, "Baseline", seed, next(accuracies), settings=held_out(fold=fold, seed=seed))
    (result,) = results_of(tmp_path)
    assert (result.part, len(result.runs)) == ("validation", 6)
    assert result.mean == pytest.approx(55)


def test_validation_and_test_are_never_mixed(tmp_path: Path) -> None:
    """Nor are other ways of holding out; of a folder of images, a run that validates knows the training part alone."""
    known = {"classes": ["a", "b"], "num_train": 4, "content": "t"}
    add_run(tmp_path, accuracy=0.2, root="/photos", facts=known | {"num_test": 9, "content": "tt"})
    for settings, accuracy in (
        (held_out(fold=0), 0.4),
        (held_out(fold=1), 0.5),
        (held_out(fold=0, folds=2), 0.6),
        (held_out(folds=5, extra=20), 0.7),
    ):
        add_run(tmp_path, accuracy=accuracy, root="/photos", facts=known, settings=settings)

    assert [(each.part, each.method, round(each.mean)) for each in results_of(tmp_path)] == [
        ("test", "Baseline", 20),
        ("validation", "Baseline (validation.folds=3)", 45),
        ("validation", "Baseline (validation.folds=2)", 60),
        ("validation", "Baseline (validation.extra=20)", 70),
    ]
    assert {each.dataset for each in results_of(tmp_path)} == {"cifair10"}


def test_what_is_on_top_of_a_method_is_part_of_its_name(tmp_path: Path) -> None:
    """So no paper's figure is set beside it, though nothing else of its method is there to tell it apart."""
    ema = {"average": {"_target_": "chimeramix.training.EMA", "result": "average"}}
    add_run(tmp_path, "MixUp", 0, 0.2, settings={**ema, "sharpness": 0.05, "evaluation": {"views": "flip"}})
    add_run(tmp_path, "CutMix", 0, 0.3, settings={"average": {**ema["average"], "result": "plain"}})
    assert [each.method for each in results_of(tmp_path)] == ["MixUp + SAM + EMA + flip views", "CutMix"]


def test_a_name_may_leave_out_weights_and_views_where_one_method_has_it(tmp_path: Path) -> None:
    ema = {"average": {"_target_": "chimeramix.training.EMA", "result": "average"}}
    add_run(tmp_path, "MixUp", settings=ema)
    results = results_of(tmp_path)
    assert full_name(results, "MixUp", "--against") == "MixUp + EMA"
    assert full_name(results, "MixUp, wideresnet_16_8", "--against") == "MixUp + EMA, wideresnet_16_8"

    add_run(tmp_path, "MixUp", settings={**ema, "evaluation": {"views": "flip"}})
    with pytest.raises(UserError, match=r"'MixUp' but for their weights and views: MixUp \+ EMA; MixUp \+ EMA \+ flip"):
        full_name(results_of(tmp_path), "MixUp", "--against")

    add_run(tmp_path, "MixUp")
    assert full_name(results_of(tmp_path), "MixUp", "--against") == "MixUp", "the plain one's own name"


def test_published_splits_are_draws(tmp_path: Path) -> None:
    for number, accuracy in enumerate([0.5, 0.6, 0.7]):
        split = {"split": {"_target_": "chimeramix.data.GEM", "number": number}}
        add_run(tmp_path, "Baseline", 0, accuracy, settings=split)
    (result,) = results_of(tmp_path)
    assert sorted(draw.split for draw in result.runs) == [0, 1, 2]
    assert result.mean == pytest.approx(60)


def test_a_single_run_has_no_standard_deviation(tmp_path: Path) -> None:
    add_run(tmp_path)
    (result,) = results_of(tmp_path)
    assert result.std is None


def test_other_metrics_of_the_record(tmp_path: Path) -> None:
    add_run(tmp_path, accuracy=0.25)
    (result,) = results_of(tmp_path, "top5")
    assert result.mean == pytest.approx(55)


def test_other_settings_make_another_result_named_by_them(tmp_path: Path) -> None:
    """Runs with another learning rate are not averaged with the rest."""
    for seed in (0, 1):
        add_run(tmp_path, seed=seed, lr=0.1)
    add_run(tmp_path, lr=0.01)
    found = {result.method: len(result.runs) for result in results_of(tmp_path)}
    assert found == {"Baseline (optimizer.lr=0.1)": 2, "Baseline (optimizer.lr=0.01)": 1}


def test_another_precision_makes_another_result_named_by_it(tmp_path: Path) -> None:
    for seed, precision in enumerate(["fp32", "bf16", "fp32"]):
        add_run(tmp_path, seed=seed, precision=precision)
    found = {result.method: len(result.runs) for result in results_of(tmp_path)}
    assert found == {"Baseline (machine.precision=fp32)": 2, "Baseline (machine.precision=bf16)": 1}


def test_the_generators_precision_counts_as_well(tmp_path: Path) -> None:
    for seed, precision in enumerate(["fp32", "bf16"]):
        folder = add_run(tmp_path, "ChimeraMix+Grid", seed, generator_lr=2e-4, precision="fp32")
        (generator,) = (tmp_path / "generator").glob(f"*{generator_of(folder)}")
        spec = json.loads((generator / "spec.json").read_text())
        write_record(generator, spec, role="generator", test=None, stretches=[{"precision": precision}])
    methods = sorted(result.method for result in results_of(tmp_path))
    assert methods == [f"ChimeraMix+Grid (generator.precision={precision})" for precision in ("bf16", "fp32")]


def test_runs_without_a_recorded_precision_are_not_averaged_with_others(tmp_path: Path) -> None:
    add_run(tmp_path, seed=0)
    add_run(tmp_path, seed=1)
    (result,) = results_of(tmp_path)
    assert result.method == "Baseline"
    add_run(tmp_path, seed=2, precision="fp32")
    found = {result.method: len(result.runs) for result in results_of(tmp_path)}
    assert found == {"Baseline (machine.precision=unknown)": 2, "Baseline (machine.precision=fp32)": 1}


def test_settings_that_follow_the_number_of_samples_make_no_variants(tmp_path: Path) -> None:
    """A learning rate for each number is one method, as long as no number has two."""
    add_run(tmp_path, samples_per_class=5, lr=0.1)
    add_run(tmp_path, samples_per_class=10, lr=0.01)
    assert [result.method for result in results_of(tmp_path)] == ["Baseline", "Baseline"]
    add_run(tmp_path, samples_per_class=10, lr=0.1)
    found = sorted((result.samples_per_class, result.method) for result in results_of(tmp_path))
    assert found == [
        (5, "Baseline (optimizer.lr=0.1)"),
        (10, "Baseline (optimizer.lr=0.01)"),
        (10, "Baseline (optimizer.lr=0.1)"),
    ]


def test_generators_are_compared_without_their_seeds(tmp_path: Path) -> None:
    """Each seed has a generator of its own identity; the method is the same if its settings are."""
    for seed in (0, 1):
        add_run(tmp_path, "ChimeraMix+Grid", seed, generator_lr=2e-4)
    add_run(tmp_path, "ChimeraMix+Grid", 2, generator_lr=1e-3)
    assert sorted(len(result.runs) for result in results_of(tmp_path)) == [1, 2]


def test_a_generator_that_was_removed_since_does_not_hide_its_classifiers(tmp_path: Path) -> None:
    folder = add_run(tmp_path, "ChimeraMix+Grid", 0, generator_lr=2e-4)
    for path in sorted((tmp_path / "generator").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (result,) = results_of(tmp_path)
    (run,) = result.runs.values()
    assert run.folder == folder


@pytest.mark.parametrize(
    ("method", "augment", "expected"),
    [
        ("Baseline", "flip_crop", "Baseline"),
        ("Baseline", "autoaugment", "Baseline + AutoAugment"),
        ("ChimeraMix+Seg", "trivialaugment", "ChimeraMix+Seg + TrivialAugment"),
        ("Cutout", "flip_crop + cutout", "Cutout"),
        ("Random Erasing", "flip_crop + random_erasing", "Random Erasing"),
        ("MixUp", "flip_crop + cutout", "MixUp + cutout"),
        ("Cutout (mixer=mixup)", "flip_crop + cutout", "Cutout (mixer=mixup)"),
        ("Cutout (erase=random_erasing)", "flip_crop + random_erasing", "Cutout (erase=random_erasing)"),
        ("MixUp", "flip_crop (flip=0)", "MixUp + flip_crop (flip=0)"),
    ],
)
def test_names_say_what_was_added_to_the_standard_augmentation(
    tmp_path: Path, method: str, augment: str, expected: str
) -> None:
    add_run(tmp_path, method, augment=augment)
    (result,) = results_of(tmp_path)
    assert result.method == expected


def test_runs_of_several_folders_of_runs_and_nothing_else(tmp_path: Path) -> None:
    """A folder above several `machine.runs_dir` is reported as one; what training left besides is not walked."""
    add_run(tmp_path / "monday", seed=0)
    inside = add_run(tmp_path / "tuesday", seed=1) / "wandb" / "classifier" / "not-a-run"
    inside.mkdir(parents=True)
    (inside / "result.json").write_text("{}")
    (result,) = results_of(tmp_path)
    assert len(result.runs) == 2


def test_unfinished_runs_do_not_count(tmp_path: Path) -> None:
    add_run(tmp_path)
    unfinished = tmp_path / "classifier" / "unfinished"
    unfinished.mkdir()
    (unfinished / "spec.json").write_text("{}")
    store = read_store(tmp_path)
    assert len(store.runs) == 1
    assert store.unfinished == 1


@pytest.mark.parametrize("content", ["", "{", "[1, 2", "{}", '{"dataset": "cifair10"}', "[1, 2]", "null"])
@pytest.mark.parametrize("name", ["result.json", "spec.json"])
def test_a_damaged_record_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = add_run(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(RunFailure, match=rf"{folder.name}/{name} is damaged"):
        read_store(tmp_path)
    whole = add_run(tmp_path, seed=1)
    store = read_store(tmp_path)
    assert [run.folder for run in store.runs] == [whole]
    assert [line.split(" is damaged")[0] for line in store.damaged] == [str(folder / name)]
    assert store.unfinished == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "0"),
        ("seed", True),
        ("seed", None),
        ("max_labels_per_class", "all"),
        ("augment", None),
        ("dataset", 5),
        ("identity", "000000000000"),
        ("role", "generator"),
        ("test", None),
        ("test", [0.5]),
        ("test", {}),
        ("test", {"accuracy": 0.5, "top5": "0.8", "macro_accuracy": 0.5}),
        ("test", {"accuracy": 50.0, "top5": 0.8, "macro_accuracy": 0.5}),
        ("test", {"accuracy": float("nan"), "top5": 0.8, "macro_accuracy": 0.5}),
        ("stretches", {}),
        ("stretches", [{"precision": 16}]),
    ],
)
def test_report_and_status_agree_on_what_is_damaged(tmp_path: Path, key: str, value: object) -> None:
    folder = add_run(tmp_path)
    assert read_state(folder)[0] == "done"
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, key: value}))
    with pytest.raises(RunFailure, match=r"result\.json is damaged"):
        read_store(tmp_path)
    state, status = read_state(folder)
    assert state == "failed"
    assert status is not None
    assert (status.reason or "").startswith("result.json is damaged (")


def test_a_damaged_generator_hides_its_classifiers(tmp_path: Path) -> None:
    """Which method they are can't be told."""
    add_run(tmp_path, "ChimeraMix+Grid", 0, generator_lr=2e-4)
    add_run(tmp_path)
    (generator,) = (tmp_path / "generator").iterdir()
    (generator / "spec.json").write_text("[1]")
    store = read_store(tmp_path)
    assert [run.name for run in store.runs] == ["Baseline"]
    assert store.damaged[0].startswith(f"{generator}/spec.json is damaged")


def test_runs_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    """Their generators differed, but with their folders their settings are gone."""
    for lr in (2e-4, 1e-3):
        add_run(tmp_path, "ChimeraMix+Grid", 0, generator_lr=lr)
    for path in sorted((tmp_path / "generator").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(UserError, match="can't be distinguished"):
        results_of(tmp_path)


def test_one_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    for place in ("here", "there"):
        add_run(tmp_path / place)
    (result,) = results_of(tmp_path)
    assert len(result.runs) == 1


@pytest.mark.parametrize("name", ["best", "best-202611211745", "{} (copy)", "copy-of-{}", "{}-old"])
def test_folders_may_be_renamed_and_copied(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator's as well, which its classifiers are found by."""
    for seed in (0, 1):
        folder = add_run(tmp_path, "ChimeraMix+Grid", seed, 0.1 + seed / 10, generator_lr=2e-4)
    for run in (folder, *(tmp_path / "generator").glob(f"*{generator_of(folder)}")):
        shutil.copytree(run, run.with_name(name.format(run.name)))
    (result,) = results_of(tmp_path)
    assert result.mean == pytest.approx(15)
    assert len(result.runs) == 2
    original, copy = sorted((folder, folder.with_name(name.format(folder.name))))
    assert caplog.messages == [f"{copy} is a copy of the run in {original}: counted once"]
    assert main(["status", str(tmp_path)]) == 0
    assert "classifiers: 2 done" in capsys.readouterr().out
    shutil.rmtree(folder)
    (result,) = results_of(tmp_path)
    assert result.mean == pytest.approx(15)


def generator_of(classifier: Path) -> str:
    return str(json.loads((classifier / "spec.json").read_text())["generator"])


def test_a_finished_copy_counts_before_an_unfinished_folder(tmp_path: Path) -> None:
    folder = add_run(tmp_path)
    shutil.copytree(folder, folder.with_name("z"))
    (folder / "result.json").unlink()
    store = read_store(tmp_path)
    assert [run.folder.name for run in store.runs] == ["z"]
    assert store.unfinished == 0


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished classifier run"):
        read_store(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_store(tmp_path / "absent")
