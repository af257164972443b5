"""Several judged models side by side: what the tables, the verdict and the pictures of a comparison are made from."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.comparison.choice import Choice
from matlens.comparison.literature import Published
from matlens.comparison.pairwise import Pairwise
from matlens.comparison.row import FIRST_COLUMNS, GROUPS, Row, added_columns
from matlens.evaluation.metrics.metric import Metric


@dataclass(frozen=True)
class ComparedModels:
    """At least one row; models that were judged on the same photos stand together, the best accuracy first.

    published: others' results, shown below, never ranked.
    pairs: the models in pairs, photo by photo; None where their predictions were not looked at.
    choice: how the first model came to be the first; None where there is nothing to choose.
    """

    rows: tuple[Row, ...]
    published: tuple[Published, ...] = ()
    pairs: Pairwise | None = None
    choice: Choice | None = None

    @property
    def same_photos(self) -> bool:
        """False where split hashes or the number of test photos differ."""
        return len({row.split_hash for row in self.rows}) == len({row.n_test for row in self.rows}) == 1

    def is_best(self, row: Row, metric: Metric) -> bool:
        """Tell whether no row has a better score, as it is shown: what looks equal is equal."""
        values = (value for other in self.rows if (value := other.value(metric.name)) is not None)
        best = metric.better_of(values) if self.same_photos else None
        return best is not None and metric.in_words(row.value(metric.name)) == metric.in_words(best)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Of each pair of models, which is better, or how many photos would tell; and what the choice costs."""
        chosen = tuple(filter(None, [self.choice.sentence()])) if self.choice else ()
        return (*(test.sentence() for test in self.pairs.tests), *self.pairs.notes, *chosen) if self.pairs else chosen

    @property
    def columns(self) -> list[str]:
        """Names of the CSV's columns."""
        return [*FIRST_COLUMNS, *["source"] * bool(self.published), *added_columns(), *self.columns_of_groups]

    @property
    def columns_of_groups(self) -> tuple[str, ...]:
        """The columns that tell of groups, where some model was judged on photos that belong together."""
        return GROUPS if any(row.n_groups is not None for row in self.rows) else ()
