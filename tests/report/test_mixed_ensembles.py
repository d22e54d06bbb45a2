"""`chimeramix report --ensemble-of METHOD METHOD`: runs of several methods on one split, put together."""

from pathlib import Path

import numpy as np
import pytest

from tests.report.predicted import add_predicted, answers
from tests.report.test_ensembles import row
from tests.report.test_report import Output, cells, main, report

LABELS = [0, 1, 2, 0]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Split 0: Baseline is right at 2 of 4 images and MixUp at 1; together at 3, because the surer one is right where
    they differ. Split 1: both are right at all. Split 2: MixUp has no run."""
    add_predicted(tmp_path, "Baseline", 0, answers(0, 1, 1, 1, sure=2), LABELS, split_seed=0)
    sure = np.concatenate([answers(1, sure=1), answers(2, sure=1), answers(2, 1, sure=4)])
    add_predicted(tmp_path, "MixUp", 0, sure, LABELS, split_seed=0)
    for method in ("Baseline", "MixUp"):
        add_predicted(tmp_path, method, 1, answers(0, 1, 2, 0), LABELS, split_seed=1)
    add_predicted(tmp_path, "Baseline", 2, answers(0, 0, 0, 0), LABELS, split_seed=2)
    return tmp_path


def test_the_mean_probability_of_the_methods_of_a_split(runs: Path, capsys: Output) -> None:
    printed = report(capsys, runs, "--ensemble-of", "Baseline", "MixUp")
    assert "cifair10: ensemble of Baseline, MixUp, test accuracy in %" in printed
    together = np.array([75.0, 100.0])
    for method, alone in (("Baseline", [50.0, 100.0]), ("MixUp", [25.0, 100.0])):
        gains = together - alone
        half = 12.7062 * np.std(gains, ddof=1) / np.sqrt(2)  # Student's t with 1 degree of freedom, from a table
        assert row(printed, method, 7) == [
            *(method, "5", "2"),
            f"{np.mean(alone):.2f} ± {np.std(alone, ddof=1):.2f}",
            f"{together.mean():.2f} ± {np.std(together, ddof=1):.2f}",
            f"{gains.mean():+.2f}",
            f"[{gains.mean() - half:+.2f}, {gains.mean() + half:+.2f}]",
        ]


def test_members_may_be_of_several_models(runs: Path, capsys: Output) -> None:
    add_predicted(runs, "Baseline", 1, answers(0, 1, 2, 1), LABELS, split_seed=1, model="resnet18")
    assert main(["report", str(runs), "--ensemble-of", "Baseline", "MixUp"]) == 2
    assert "several models have 'Baseline'; write 'Baseline, " in capsys.readouterr().err
    printed = report(capsys, runs, "--ensemble-of", "Baseline, resnet18", "MixUp")
    assert [line[1:5] for line in map(cells, printed.splitlines()) if len(line) == 7 and line[0] == "Baseline"] == [
        ["5", "1", "75.00", "100.00"]
    ]


def test_what_cannot_be_put_together_is_told(runs: Path, capsys: Output) -> None:
    def told(*options: str) -> str:
        assert main(["report", str(runs), *options]) == 2
        return capsys.readouterr().err

    assert "an ensemble needs two methods or more" in told("--ensemble-of", "MixUp")
    assert "an ensemble needs two methods or more" in told("--ensemble-of", "MixUp", "MixUp")
    assert "'CutMix' is not in the table; its methods are: Baseline; MixUp" in told("--ensemble-of", "MixUp", "CutMix")
    assert "--ensemble-of" in told("--ensemble-of", "MixUp", "Baseline", "--format", "csv")
    add_predicted(runs, "CutMix", 5, answers(0, 1, 2, 0), LABELS, split_seed=5)
    assert "no seed and split was used by all of these methods" in told("--ensemble-of", "MixUp", "CutMix")
