"""Finished classifier runs, grouped over their seeds and folds."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chimeramix.errors import UserError
from chimeramix.report.labels import DataSet, Label, data_set_labels, flat, variant_labels
from chimeramix.report.store import Draw, FinishedRun, Store
from chimeramix.runs.spec import size_order


@dataclass(frozen=True)
class Result:
    """What a method reached: runs that differ in their draws only.

    Attributes:
        data_set: the images' label.
        part: on which the runs were evaluated; figures of `test` and `validation` are never averaged.
        variant: the method's label, which tells it apart where the same data set has several variants of it.
        name: the method's, without that.
    """

    data_set: Label
    part: str
    model: str
    samples_per_class: int | None
    variant: Label
    name: str
    runs: dict[Draw, FinishedRun] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        return self.data_set.name

    @property
    def method(self) -> str:
        return self.variant.name

    @property
    def names(self) -> tuple[str, str]:
        """By which commands know it: the method's label, alone and with its model."""
        return self.method, with_model(self)

    @property
    def plain_method(self) -> str:
        """The method's label without its weights and views: one training has figures of several."""
        return self.method.replace(next(iter(self.runs.values())).variant, "", 1)

    @property
    def held_out(self) -> str | None:
        """See `FinishedRun`; figures of images that were held out in different ways are not compared."""
        return next(iter(self.runs.values())).held_out

    @property
    def published(self) -> tuple[str, str, str, int | None]:
        """What a paper's figure for the same is found by: `dataset.name`, model, method and samples per class."""
        recorded = next(iter(self.runs.values())).dataset
        return recorded, self.model, self.name, self.samples_per_class

    @property
    def scores(self) -> list[float]:
        return [run.score for run in self.runs.values()]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float | None:
        """Sample standard deviation (ddof 1); None for a single run."""
        return statistics.stdev(self.scores) if len(self.runs) > 1 else None


def summarise(store: Store) -> list[Result]:
    """Groups runs over their draws, sorted by data set, model, part, samples per class and then mean."""
    data_set_of: dict[tuple[str, str], DataSet] = {}
    # What is known of a folder's images depends on the part: a run that validates does not look at its test images.
    trained_on: dict[str, dict[DataSet, Path]] = defaultdict(dict)
    methods: dict[tuple[DataSet, str, str], dict[str, list[FinishedRun]]] = defaultdict(lambda: defaultdict(list))
    for run in store.runs:
        key = run.dataset, run.settings
        if key not in data_set_of:
            data_set_of[key] = DataSet.of(run.dataset, store.settings[run.settings])
        trained_on[run.part].setdefault(data_set_of[key], run.folder)
        methods[data_set_of[key], run.model, run.part][run.name].append(run)
    labels = {part: data_set_labels(found) for part, found in trained_on.items()}
    flat_settings = {identity: dict(flat(settings)) for identity, settings in store.settings.items()}
    results: dict[tuple[Any, ...], Result] = {}
    for (data_set, model, part), named in methods.items():
        for name, runs in named.items():
            used = {run.settings: flat_settings[run.settings] for run in runs}
            variants = variant_labels(name, used, _one_per_size(runs), named)
            for run in runs:
                result = results.setdefault(
                    (data_set, model, part, name, run.samples_per_class, run.settings),
                    Result(labels[part][data_set], part, model, run.samples_per_class, variants[run.settings], name),
                )
                _add(run, result)
    return sorted(
        results.values(),
        key=lambda each: (each.dataset, each.model, each.part, size_order(each.samples_per_class), each.mean),
    )


def _add(run: FinishedRun, result: Result) -> None:
    other = result.runs.setdefault(run.draw, run)
    if other.identity != run.identity:
        raise UserError(
            f"{other.folder} and {run.folder} have one seed and generators whose folders are gone, so they can't be "
            "distinguished: report them from two folders of runs"
        )


def _one_per_size(runs: list[FinishedRun]) -> bool:
    """Whether each number of samples has one configuration only: epochs may follow the number."""
    by_size = defaultdict(set)
    for run in runs:
        by_size[run.samples_per_class].add(run.settings)
    return all(len(variants) == 1 for variants in by_size.values())


def with_model(result: Result) -> str:
    """A method's name where those of several models stand together."""
    return f"{result.method}, {result.model}"


def called(results: Iterable[Result], name: str, option: str) -> list[Result]:
    """The results of a method, which is named as in the table, with `, MODEL` behind it where several models have it.

    Raises:
        UserError: where several models have that name, in the words of the command's option.
    """
    found = [result for result in results if name in result.names]
    names = sorted({with_model(result) for result in found})
    if len(names) > 1:
        raise UserError(f"{option}: several models have {name!r}; write {' or '.join(map(repr, names))}")
    return found


def full_name(results: Iterable[Result], name: str, option: str) -> str:
    """A method's name as the table has it, with `, MODEL` if that was given. Where one method of the table has it, a
    name may leave out the weights and views: `MixUp` for `MixUp + EMA + flip views`.

    Raises:
        UserError: for a name that no method or several have, in the words of the command's option.
    """
    results = list(results)
    if any(name in result.names for result in results):
        return name
    meant = {result.method for result in results if name == result.plain_method}
    meant |= {with_model(result) for result in results if name == f"{result.plain_method}, {result.model}"}
    if len(meant) > 1:
        raise UserError(f"{option}: several methods are {name!r} but for their weights and views: {_list(meant)}")
    if not meant:
        methods = _list({result.method for result in results})
        raise UserError(f"{option}: {name!r} is not in the table; its methods are: {methods}")
    return meant.pop()


def _list(names: Iterable[str]) -> str:
    return "; ".join(sorted(names))


def by_table(results: list[Result]) -> dict[tuple[str, str, str], list[Result]]:
    """The results that belong into one table or plot, by data set, model and part."""
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.dataset, result.model, result.part].append(result)
    return groups


def is_best(result: Result, results: list[Result]) -> bool:
    """Whether nothing of the same data set, model, part and number of samples has a higher mean; of figures on held-out
    images, nothing for which they were held out in the same way."""

    def place(each: Result) -> tuple[str, str, str, str | None, int | None]:
        return each.dataset, each.model, each.part, each.held_out, each.samples_per_class

    return result.mean == max(each.mean for each in results if place(each) == place(result))
