"""What the report adds when asked: variants of one training, ensembles, calibration, disagreement, effort, pictures.

Each is imported when it is asked for: the report of records alone needs no NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from chimeramix.errors import UserError
from chimeramix.report.paired import Comparison
from chimeramix.report.results import Result, summarise
from chimeramix.report.store import Store
from chimeramix.terminal import Table


@dataclass(frozen=True)
class Extras:
    """Options of `chimeramix report`; see its `--help`.

    Attributes:
        ensemble_of: methods, named as in the table, whose runs are put together; none where there are none.
        against: a method, named as in the table, with which all others are compared; see `chimeramix.report.against`.
        over: a key; the metric over its values is a table and a plot; see `chimeramix.report.over`.
        hardest: the picture's file; None for none.
        images: where the data set of that picture is by now.
    """

    variants: bool = False
    ensemble: bool = False
    calibration: bool = False
    per_class: bool = False
    effort: bool = False
    ensemble_of: Sequence[str] = ()
    against: str | None = None
    over: str | None = None
    hardest: Path | None = None
    images: Path | None = None

    def check(self, form: str, compared: bool) -> None:
        """Raises `UserError` for options that do not go together."""
        tables = [field.name for field in fields(self) if getattr(self, field.name) is True]
        tables += [name for name in ("ensemble_of", "against", "over") if getattr(self, name)]
        if form in ("csv", "runs-csv") and tables:
            option = f"--{tables[0].replace('_', '-')}"
            raise UserError(f"--format {form} holds no table of {option}: take another format for it")
        if self.per_class and not compared:
            raise UserError("--per-class shows the classes of two methods: add --compare METHOD OTHER")
        if self.images is not None and self.hardest is None:
            raise UserError("--images says where the images of --hardest FILE.png are: add that")
        if self.hardest is not None and self.hardest.suffix.lower() != ".png":
            raise UserError(f"--hardest {self.hardest}: the picture is a PNG; give a name that ends with .png")

    def tables(
        self,
        results: list[Result],
        chosen: Store,
        everything: Store,
        metric: str,
        comparisons: Sequence[Comparison],
        damaged: dict[Path, str],
    ) -> list[Table]:
        """The tables that were asked for, but for that over a key.

        Args:
            chosen: the runs of the results.
            everything: those of the folder.
            damaged: gets a line for each run whose predictions can't be used.

        Raises:
            UserError: where there is nothing to show.
        """
        tables: list[Table] = []
        if comparisons:
            from chimeramix.report.disagreement import disagreement_tables

            tables += disagreement_tables(comparisons, self.per_class, damaged)
        if self.variants:
            from chimeramix.report.variants import variants_tables

            tables += variants_tables(results, metric)
        if self.ensemble:
            from chimeramix.report.ensembles import ensemble_tables

            tables += ensemble_tables(results, metric, damaged)
        if self.ensemble_of:
            from chimeramix.report.mixed_ensembles import mixed_ensemble_tables

            tables += mixed_ensemble_tables(results, self.ensemble_of, metric, damaged)
        if self.calibration:
            from chimeramix.report.calibration import calibration_tables

            of_all = results if chosen is everything else summarise(everything)
            tables += calibration_tables(results, everything.settings, of_all, damaged)
        if self.effort:
            from chimeramix.report.effort import effort_tables

            tables += effort_tables(results, everything.generators)
        return tables

    def draw(self, results: list[Result], damaged: dict[Path, str]) -> list[Path]:
        """The picture, if it was asked for; see `chimeramix.report.hardest.draw_hardest`."""
        if self.hardest is None:
            return []
        from chimeramix.report.hardest import draw_hardest

        return draw_hardest(results, self.hardest, self.images, damaged)
