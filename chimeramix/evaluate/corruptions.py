"""A classifier's metrics on corrupted test images (CIFAR-10-C, CIFAR-100-C; Hendrycks & Dietterich 2019).

The mean is the plain one over 15 corruptions x 5 severities. Hendrycks & Dietterich divide a corruption's error by
AlexNet's for ImageNet-C; for CIFAR there is no such baseline, and nothing is divided here.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from tqdm import tqdm

from chimeramix.data.corrupted import CIFAR10C, CORRUPTIONS, EXTRA, GROUPS, SEVERITIES
from chimeramix.errors import UserError
from chimeramix.evaluate import tables
from chimeramix.evaluate.labelled import renumbered
from chimeramix.runs.classifier import Blueprint
from chimeramix.terminal import Table, Text
from chimeramix.training.evaluation import Evaluation

Metrics = dict[str, float]


@dataclass(frozen=True)
class Corrupted:
    """Metrics by corruption.

    Attributes:
        source: the data set.
        each: for all of `CORRUPTIONS`, those of severities 1 to 5.
        images: of each corruption at each severity.
        left_out: images that ciFAIR replaced; None where they are among the others.
    """

    source: CIFAR10C
    each: Mapping[str, list[Metrics]]
    images: int
    left_out: int | None

    def mean(self, corruptions: Iterable[str]) -> Metrics:
        """Over these corruptions and all severities; `error` is 1 - accuracy."""
        found = [metrics for name in corruptions for metrics in self.each[name]]
        means = {key: sum(metrics[key] for metrics in found) / len(found) for key in found[0]}
        return {**means, "error": 1 - means["accuracy"]}

    def sections(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Values by section, set of images and name."""
        usual = [name for name in CORRUPTIONS if name not in EXTRA]
        count = {"images": self.images * SEVERITIES}
        mean = {"15 corruptions": {"images": self.images * SEVERITIES * len(usual), **self.mean(usual)}}
        mean |= {group: {"images": count["images"] * len(names), **self.mean(names)} for group, names in GROUPS.items()}
        return {"mean": mean, "corruptions": self._severities(usual), "extra_corruptions": self._severities(EXTRA)}

    def _severities(self, corruptions: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {
            f"{name} {severity}": {"images": self.images, **metrics}
            for name in corruptions
            for severity, metrics in enumerate(self.each[name], start=1)
        }

    def tables(self) -> list[Table]:
        """Accuracy by corruption and severity, the usual ones in their groups, the four others apart."""
        rows = []
        for group, names in GROUPS.items():
            rows += [[Text(group), *self._row(name, [name])] for name in names]
            rows.append([Text(group), *self._row("mean", names, bold=True)])
        usual = [name for names in GROUPS.values() for name in names]
        rows.append([Text("all"), *self._row("mean of 15", usual, bold=True)])
        severities = [str(severity) for severity in range(1, SEVERITIES + 1)]
        others = [self._row(name, [name]) for name in EXTRA]
        return [
            Table(
                title=f"{self.source.name}: accuracy by severity",
                header=["group", "corruption", *severities, "mean"],
                rows=rows,
                caption="in %; error is 100 less that; plain means: nothing is divided by another network's error",
                left=2,
                notes=[self._note()],
            ),
            Table(
                title="Four more corruptions, not in the mean",
                header=["corruption", *severities, "mean"],
                rows=others,
                caption="accuracy in %",
            ),
        ]

    def _row(self, title: str, corruptions: Iterable[str], bold: bool = False) -> list[Text]:
        """At each severity and over all of them, the mean over these corruptions."""
        names = list(corruptions)
        by_severity = [
            sum(self.each[name][place]["accuracy"] for name in names) / len(names) for place in range(SEVERITIES)
        ]
        shares = [*by_severity, sum(by_severity) / SEVERITIES]
        return [Text(title, bold), *(Text(tables.percent(share, 2), bold) for share in shares)]

    def _note(self) -> str:
        if self.left_out is not None:
            return (
                f"{self.left_out:,} of {self.left_out + self.images:,} test images are left out: near-duplicates of "
                "training images, which ciFAIR replaced"
            )
        return (
            f"the test images are CIFAR's: {self.source.replaced} of them have a near-duplicate among the training "
            "images, which ciFAIR replaced; --without-duplicates leaves them out"
        )


def measured(
    source: CIFAR10C, measure: Callable[[Tensor, Tensor], Evaluation], blueprint: Blueprint, without_duplicates: bool
) -> Corrupted:
    """The metrics of a classifier under all corruptions; images of one at one severity are in memory at a time.

    Args:
        measure: evaluates images and labels as the run reads and numbers them.
        blueprint: the classifier's.

    Raises:
        UserError: for classes that the run does not know, and for damaged files.
        RunFailure: where what is needed can't be fetched.
    """
    test = source.test()
    labels = renumbered(test.labels[: test.count], test.classes, blueprint.classes, source.name)
    left_out = set(source.duplicates()) if without_duplicates else set()
    kept = [place for place in range(test.count) if place not in left_out]
    if not kept:
        raise UserError("--without-duplicates: no image is left")
    labels = labels[kept]
    each: dict[str, list[Metrics]] = {}
    with tqdm(total=len(CORRUPTIONS) * SEVERITIES, leave=False, disable=not sys.stderr.isatty()) as bar:
        for corruption in CORRUPTIONS:
            bar.set_description(corruption)
            each[corruption] = []
            for severity in range(1, SEVERITIES + 1):
                positions = test.positions(corruption, severity)
                images = test.read_as(blueprint.reading, [positions[place] for place in kept])
                each[corruption].append(measure(images, labels).metrics())
                bar.update()
    return Corrupted(source, each, len(kept), len(left_out) if without_duplicates else None)
