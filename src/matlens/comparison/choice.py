"""How the first model of a table was chosen among several, and what that does to its accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from matlens.comparison.paired_test import points
from matlens.comparison.pairwise import Pairwise
from matlens.comparison.row import Row
from matlens.errors import ResultsError
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.predictions import Predictions
from matlens.system.console import listed

ChosenOn = Literal["test", "val"]


@dataclass(frozen=True)
class Choice:
    """Which of `models` models is the best, by the part that it was chosen `on`.

    optimism: by how much its accuracy on the test part is expected to be too high since it was chosen there; None where
        that cannot be computed, 0 where the choice was made on validation.
    corrected_accuracy: its accuracy less that.
    validation: the accuracy on the validation part, by model, where that decides.
    why_not: why validation could not decide, though it was asked to.
    on_test: a sentence on whether the test part confirms a choice that was made on validation.
    """

    on: ChosenOn
    model: str
    models: int
    optimism: float | None
    corrected_accuracy: float | None
    validation: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""
    on_test: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say something."""
        return {key: value for key, value in asdict(self).items() if value not in ({}, "")}

    def sentence(self) -> str:
        """Say on which part the model was chosen, and what that means for its accuracy."""
        if self.why_not:
            return self.why_not
        if self.on == "val":
            return (f"{self.model} was chosen among {self.models} models on the validation part, where it is right on "
                    f"{percent(self.validation[self.model])}: the test part had no say, so its accuracy there is not "
                    f"too high for having been chosen. {self.on_test}").rstrip()
        if self.optimism is None or self.corrected_accuracy is None:
            return ""
        by = f"about {points(self.optimism)}" if self.optimism >= 0.0005 else "less than 0.1"
        return (f"{self.model} was chosen among {self.models} models by these photos, which is expected to make its "
                f"accuracy {by} points too high; corrected for that it is {percent(self.corrected_accuracy)}. "
                "--choose-on val leaves the choice to the validation part.")


def as_share(margin: float | None) -> float | None:
    """Return a margin in percentage points as a share."""
    return None if margin is None else margin / 100


def recorded_choice(settings: Mapping[str, Any]) -> tuple[float | None, ChosenOn]:
    """Return margin (a share) and part to choose on of recorded settings, which may be of any version, or anyone's."""
    margin = settings.get("margin")
    is_margin = isinstance(margin, int | float) and not isinstance(margin, bool) and 0 < margin < 100
    return as_share(margin) if is_margin else None, "val" if settings.get("choose_on") == "val" else "test"


def chosen_on_test(rows: Sequence[Row], pairs: Pairwise | None) -> Choice | None:
    """Take the first row as chosen on the test part; None where there is one model, or not all saw the same photos."""
    if len(rows) < 2 or not pairs or not pairs.optimism or pairs.optimism.models != len(rows):
        return None
    expected = pairs.optimism.expected
    return Choice("test", rows[0].model, len(rows), expected, rows[0].accuracy - expected)


def chosen_on_validation(rows: Sequence[Row], pairs: Pairwise | None, validation: Mapping[str, float]) -> Choice:
    """Take the first row as chosen on the validation part, and say whether the test part confirms that."""
    first, *others = rows
    return Choice("val", first.model, len(rows), 0.0, first.accuracy, validation,
                  on_test=_on_test(first, others, pairs))


def _on_test(first: Row, others: Sequence[Row], pairs: Pairwise | None) -> str:
    """Say by the paired tests what the test part makes of the choice of the first model."""
    tests = {row.model: pairs and pairs.between(first.model, row.model) for row in others}

    def named(chosen: Sequence[str]) -> str:
        return listed([f"{row.model} ({percent(row.accuracy)})" for row in others if row.model in chosen])

    of_first = f"{first.model} ({percent(first.accuracy)} right)"
    if ahead := [name for name, test in tests.items() if test and test.is_real and test.better == name]:
        return f"The test part does not confirm the choice: {named(ahead)} is better there than {of_first}."
    if untested := [name for name, test in tests.items() if not test]:
        return (f"Whether the test part confirms the choice is not known: {of_first} is not tested against "
                f"{named(untested)}.")
    if unclear := [name for name, test in tests.items() if test and not test.is_real]:
        return (f"The test part neither confirms nor refutes the choice: {of_first} is not significantly "
                f"different there from {named(unclear)}.")
    return f"The test part confirms the choice: {of_first} is better there than {named(list(tests))}."


def validation_accuracies(rows: Sequence[Row], given: Mapping[str, Predictions | SavedPredictions],
                          ) -> Mapping[str, float] | str:
    """Return the accuracy on the validation part by model; or a sentence, where it is not known of all on one part."""
    accuracies, photos = {}, set()
    for row in rows:
        source = given.get(row.model)
        try:
            if source is None or (isinstance(source, SavedPredictions) and not source.file.exists()):
                raise ResultsError("there are no predictions of validation photos.")
            predictions = source.read() if isinstance(source, SavedPredictions) else source
        except ResultsError as error:
            return f"The validation part cannot decide which model is best: of {row.model} {error}"
        accuracies[row.model] = float((predictions.predicted == predictions.labels).mean())
        photos.add(frozenset(zip(predictions.digests or predictions.paths, predictions.labels.tolist(), strict=True)))
    if len(photos) > 1:
        return "The validation part cannot decide which model is best: the models have other validation photos each."
    return accuracies
