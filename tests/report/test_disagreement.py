"""`chimeramix report --compare A B`: McNemar's test, and `--per-class`."""

import json
from pathlib import Path

import numpy as np
import scipy.stats

from tests.report.predicted import add_predicted, answers
from tests.report.store import add_run
from tests.report.test_report import Output, cells, main, report

LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
RIGHT = LABELS
A = [0, 0, 0, 0, 1, 1, 1, 0, 0, 2]  # 2 wrong
B = [1, 1, 1, 1, 0, 1, 1, 1, 0, 2]  # 6 wrong: only A is right at 5 images, only B at 1


def rows(printed: str, title: str) -> list[list[str]]:
    """Of the table with this title, without its header."""
    lines = [line.strip() for line in printed[printed.index(title) :].splitlines()[4:]]
    return [cells(line) for line in lines[: lines.index("")]]


def test_images_that_only_one_gets_right(tmp_path: Path, capsys: Output) -> None:
    """By hand: of 6 images, 1 or fewer by chance in 7 of 64 cases, twice that for both sides."""
    add_predicted(tmp_path, "A", 0, answers(*A), LABELS)
    add_predicted(tmp_path, "B", 0, answers(*B), LABELS)
    printed = report(capsys, tmp_path, "--compare", "A", "B")
    (found,) = rows(printed, "A and B on the same images")
    assert found == ["cifair10", "wideresnet_16_8", "5", "0", "0", "10", "5", "1", f"{14 / 64:.4f}"]
    assert printed.index("A − B, in percentage points") < printed.index("A and B on the same images")


def test_a_row_for_each_pair_and_no_p_value_of_them_all(tmp_path: Path, capsys: Output) -> None:
    for seed in range(3):
        for name, guess in (("A", A), ("B", RIGHT if seed == 2 else B)):
            add_predicted(tmp_path, name, seed, answers(*guess), LABELS, split_seed=seed // 2)
    printed = report(capsys, tmp_path, "--compare", "A", "B")
    found = rows(printed, "A and B on the same images")
    assert [line[3:5] + line[6:8] for line in found] == [
        ["0", "0", "5", "1"],
        ["1", "0", "5", "1"],
        ["2", "1", "0", "2"],
    ]
    assert "rows may share images, so their p-values are not independent, and not combined" in printed


def test_folds_of_a_split_are_counted_together(tmp_path: Path, capsys: Output) -> None:
    """Each holds out other images: 5 and 1 of 10, as if they were one set."""
    for fold, images in enumerate((slice(0, 5), slice(5, 10))):
        for name, guess in (("A", A), ("B", B)):
            kept = {"fold": fold, "positions": np.arange(10)[images] + 100}
            add_predicted(tmp_path, name, 0, answers(*guess[images]), LABELS[images], **kept)
    (found,) = rows(report(capsys, tmp_path, "--compare", "A", "B"), "A and B on the same images")
    assert found[3:] == ["0", "0, cut 0", "10", "5", "1", f"{14 / 64:.4f}"]


def test_networks_that_agree(tmp_path: Path, capsys: Output) -> None:
    for name in ("A", "B"):
        add_predicted(tmp_path, name, 0, answers(*A), LABELS)
    (found,) = rows(report(capsys, tmp_path, "--compare", "A", "B"), "A and B on the same images")
    assert found[6:] == ["0", "0", "1.0000"]


def test_runs_without_predictions_are_compared_as_before(tmp_path: Path, capsys: Output) -> None:
    for name in ("A", "B"):
        add_run(tmp_path, name, 0)
    printed = report(capsys, tmp_path, "--compare", "A", "B")
    assert "in percentage points" in printed
    assert "on the same images" not in printed
    assert main(["report", str(tmp_path), "--compare", "A", "B", "--per-class"]) == 2
    assert "--per-class: no run has predictions.npz" in capsys.readouterr().err


def test_differences_by_class(tmp_path: Path, capsys: Output) -> None:
    """A is better at class 0 by 100 and 75 points; the interval is that of two differences."""
    folders = [
        add_predicted(tmp_path, name, seed, answers(*guess), LABELS, split_seed=seed)
        for seed, second in ((0, B), (1, [0, *B[1:]]))
        for name, guess in (("A", A), ("B", second))
    ]
    (folders[0] / "split.json").write_text(json.dumps({"classes": ["cat", "dog", "frog"]}))
    printed = report(capsys, tmp_path, "--compare", "A", "B", "--per-class")
    assert "too narrow" not in printed
    cat, dog, frog = rows(printed, "5 per class: accuracy within each class in %")
    low, high = scipy.stats.t.interval(0.95, 1, loc=87.5, scale=scipy.stats.sem([100, 75]))
    assert cat == ["cat", "100.00", "12.50", "+87.50", f"[{low:+.2f}, {high:+.2f}]"]
    assert dog == ["dog", "75.00", "75.00", "+0.00", "[+0.00, +0.00]"]
    assert frog == ["frog", "50.00", "50.00", "+0.00", "[+0.00, +0.00]"]


def test_classes_over_seeds_of_one_split(tmp_path: Path, capsys: Output) -> None:
    for seed in (0, 1):
        for name, guess in (("A", A), ("B", B)):
            add_predicted(tmp_path, name, seed, answers(*guess), LABELS, split_seed=0)
    table = " ".join(report(capsys, tmp_path, "--compare", "A", "B", "--per-class").split()).split("within each class")
    assert "too narrow: seeds and folds of one split share their images" in table[1]


def test_in_print(tmp_path: Path, capsys: Output) -> None:
    """Signs that LaTeX or Markdown would take for something else."""
    labels = LABELS * 5
    for name, guess in (("A|1", A), ("B_1", [1, 1, 1, 1, 0, 0, 0, 0, 0, 0])):
        add_predicted(tmp_path, name, 0, answers(*guess * 5), labels)
    options = ("--compare", "A|1", "B_1", "--per-class", "--format")
    printed = report(capsys, tmp_path, *options, "latex")
    assert r"\textbf{$<$ 0.0001}" in printed
    assert r"class & A|1 & B\_1 &" in printed
    assert printed.isascii()
    assert r"| class | A\|1 | B_1 |" in report(capsys, tmp_path, *options, "markdown")


def test_classes_without_names_and_without_images(tmp_path: Path, capsys: Output) -> None:
    for name in ("A", "B"):
        add_predicted(tmp_path, name, 0, answers(0, 1), [0, 1])
    printed = report(capsys, tmp_path, "--compare", "A", "B", "--per-class")
    found = rows(printed, "5 per class: accuracy within each class in %")
    assert [line[0] for line in found] == ["0", "1", "2"]
    assert found[2] == ["2", "–", "–", "–", "–"]


def test_per_class_needs_two_methods(tmp_path: Path, capsys: Output) -> None:
    add_run(tmp_path)
    assert main(["report", str(tmp_path), "--per-class"]) == 2
    assert "add --compare METHOD OTHER" in capsys.readouterr().err


def test_the_p_value_is_both_tails_of_the_binomial_distribution(tmp_path: Path, capsys: Output) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    guesses = [np.where(rng.random(400) < share, labels, (labels + 1) % 3) for share in (0.62, 0.55)]
    for name, guess in zip("AB", guesses, strict=True):
        add_predicted(tmp_path, name, 0, answers(*guess), labels)
    (found,) = rows(report(capsys, tmp_path, "--compare", "A", "B"), "A and B on the same images")
    only_a = int(((guesses[0] == labels) & (guesses[1] != labels)).sum())
    only_b = int(((guesses[1] == labels) & (guesses[0] != labels)).sum())
    p = 2 * scipy.stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert found[5:] == ["400", str(only_a), str(only_b), f"{p:.4f}"]
