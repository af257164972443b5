"""Several judged models side by side: what the tables, the verdict and the pictures of a comparison are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matlens.comparison.choice import Choice
from matlens.comparison.literature import Published
from matlens.comparison.pairwise import Pairwise
from matlens.comparison.row import FIRST_COLUMNS, GROUPS, Row, added_columns
from matlens.evaluation.metrics.metric import Metric, metrics_of
from matlens.system.console import listed


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
        """Whether all models were judged on the same photos by content; False also where that is not known."""
        return len(self.by_photos) == 1

    @property
    def by_photos(self) -> list[list[Row]]:
        """The rows of models that were judged on the same photos, together; one whose photos are unknown is alone."""
        groups: dict[str | int, list[Row]] = {}
        for place, row in enumerate(self.rows):
            groups.setdefault(row.photos_hash or place, []).append(row)
        return list(groups.values())

    @property
    def whose_photos(self) -> str:
        """Say which models were judged on the same photos, and of which that is not known; empty where all were."""
        if self.same_photos:
            return ""
        known = [f"{listed([row.model for row in rows])} on {rows[0].n_test:,} photos ({rows[0].photos_hash[:12]})"
                 for rows in self.by_photos if rows[0].photos_hash]
        unknown = [row.model for row in self.rows if not row.photos_hash]
        sentences = [f"Judged on photos of their own: {'; '.join(known)}."] if known else []
        if unknown:
            sentences.append(f"Which photos {listed(unknown)} answered is not recorded: judge "
                             f"{'it' if len(unknown) == 1 else 'them'} again, in a notebook with evaluate_model, in a "
                             "run with: matlens evaluate RUN")
        return " ".join(sentences)

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
        return [*FIRST_COLUMNS, *["source"] * bool(self.published), *added_columns(), *self.columns_of_groups,
                *["photos_hash"] * (not self.same_photos)]

    @property
    def columns_of_groups(self) -> tuple[str, ...]:
        """The columns that tell of groups, where some model was judged on photos that belong together."""
        return GROUPS if any(row.n_groups is not None for row in self.rows) else ()

    @property
    def intervals_in_words(self) -> str:
        """Say where the main table's intervals come from: the usual method, and the scores that have another one.

        'bootstrap over the independent groups of test photos; those of macro F1 (first, second) by Student's t, ...'.
        """
        models: dict[str, dict[str, list[str]]] = {}
        for metric in metrics_of("main"):
            for row in self.rows:
                if row.interval(metric.name):
                    words = self._method_in_words(row.interval_methods.get(metric.name, "bca"))
                    models.setdefault(words, {}).setdefault(metric.title, []).append(row.model)
        if not models:
            return self._method_in_words("bca")
        usual = max(models, key=lambda words: sum(map(len, models[words].values())))
        others = [f"those of {listed([self._of_models(*of_metric) for of_metric in models[words].items()])} by {words}"
                  for words in models if words != usual]
        return "; ".join([usual, *others])

    def _method_in_words(self, method: str) -> str:
        groups = bool(self.columns_of_groups)
        if method == "t":
            return "Student's t, leaving out each independent group in turn"
        if method == "wilson":
            return "Wilson's formula" + " for groups of photos" * groups
        return f"bootstrap over the {'independent groups of ' * groups}test photos"

    def _of_models(self, title: str, models: list[str]) -> str:
        return title if len(models) == len(self.rows) else f"{title} ({', '.join(models)})"

    def cells(self, row: Row) -> dict[str, Any]:
        """Return a row's columns; where photos differ, with the beginning of the hash of those of the row."""
        return row.cells() | ({} if self.same_photos else {"photos_hash": row.photos_hash[:12]})
