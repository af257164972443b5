"""The figures of each epoch of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from matlens.errors import SettingsError
from matlens.types import Scores

ChosenBy = Literal["val_loss", "macro_f1", "accuracy"]


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. number counts from 1; photos_per_second leaves validation out.

    strength: of the penalty, where a head was fitted at once by the recipe `probe`, which has no epochs: each strength
        that it tries stands as one. There is no learning rate then.
    neighbours: how many photos vote, where the head of that recipe is `knn`; likewise.
    """

    number: int
    train: Scores
    val: Scores
    learning_rate: float
    seconds: float
    photos_per_second: float
    strength: float | None = None
    neighbours: int | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Epoch:
        """Make an epoch from what `dataclasses.asdict` returned."""
        scores = {part: Scores(**content[part]) for part in ("train", "val")}
        return cls(content["number"], scores["train"], scores["val"], content["learning_rate"], content["seconds"],
                   content["photos_per_second"], content.get("strength"), content.get("neighbours"))

    def line(self, improved: bool) -> str:
        """Describe the epoch in one line."""
        macro_f1 = "" if self.val.macro_f1 is None else f", macro F1 {100 * self.val.macro_f1:.1f} %"
        return (f"  epoch {self.number}: loss {self.train.loss:.3f}, accuracy {100 * self.train.accuracy:.1f} % "
                f"(validation {self.val.loss:.3f}, {100 * self.val.accuracy:.1f} %{macro_f1}), "
                f"{self.seconds:.0f} s" + (", best" if improved else ""))


@dataclass
class History:
    """The epochs so far.

    keep_last: the last epoch counts as the best, since validation photos are trained on.
    head_epochs: the first so many epochs trained the head alone, as the recipe `strong` begins; 0 by another recipe.
    choose_by: the figure of the validation part that chooses the best epoch.
    """

    epochs: list[Epoch] = field(default_factory=list)
    keep_last: bool = False
    head_epochs: int = 0
    choose_by: ChosenBy = "val_loss"

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(no epochs)"
        best = self.best
        return (f"History({len(self.epochs)} epochs, the best is {best.number}: validation loss {best.val.loss:.3f}, "
                f"accuracy {best.val.accuracy:.1%})")

    @property
    def best(self) -> Epoch:
        """The epoch that `choose_by` says, the first of equals; or the last one.

        An epoch that follows those of the head counts only if it is as good as the best of the head's: by the loss, if
        it has no lower validation accuracy, since losses of smoothed labels cannot be compared with those of others.
        """
        if self.keep_last:
            return self.epochs[-1]
        first, later = self.epochs[:self.head_epochs], self.epochs[self.head_epochs:]
        head = min(first, key=self._figure_of, default=None)
        compared = _FIGURES["accuracy" if self.choose_by == "val_loss" else self.choose_by]
        as_good = [epoch for epoch in later if head is None or compared(epoch.val) <= compared(head.val)]
        return min(as_good, key=self._figure_of) if head is None or as_good else head

    def figure(self, val: Scores) -> float:
        """Return what chooses epochs, the lower the better: the loss, or macro F1 or accuracy with a minus."""
        return _FIGURES[self.choose_by](val)

    def _figure_of(self, epoch: Epoch) -> float:
        return self.figure(epoch.val)

    @property
    def history(self) -> dict[str, list[float]]:
        """The guide's curves, as in Keras' History: {loss, accuracy, val_loss, val_accuracy, learning_rate: [...]}.

        Of the recipe `probe`, `strength` or `neighbours` stands in place of `learning_rate`. With `val_macro_f1` where
        all epochs have it.
        """
        tried: dict[str, list[float]] = {
            name: [getattr(epoch, name) for epoch in self.epochs] for name in ("strength", "neighbours")
            if all(getattr(epoch, name) is not None for epoch in self.epochs) and self.epochs}
        macro_f1 = [epoch.val.macro_f1 for epoch in self.epochs if epoch.val.macro_f1 is not None]
        return {
            "loss": [epoch.train.loss for epoch in self.epochs],
            "accuracy": [epoch.train.accuracy for epoch in self.epochs],
            "val_loss": [epoch.val.loss for epoch in self.epochs],
            "val_accuracy": [epoch.val.accuracy for epoch in self.epochs],
            **(tried or {"learning_rate": [epoch.learning_rate for epoch in self.epochs]}),
            **({"val_macro_f1": macro_f1} if macro_f1 and len(macro_f1) == len(self.epochs) else {}),
        }


def _less_macro_f1(val: Scores) -> float:
    if val.macro_f1 is None:
        raise ValueError("the macro F1 of an epoch was not computed, and epochs are chosen by it")
    return -val.macro_f1


_FIGURES: Mapping[ChosenBy, Callable[[Scores], float]] = {
    "val_loss": lambda val: val.loss, "accuracy": lambda val: -val.accuracy, "macro_f1": _less_macro_f1}
"""What may choose an epoch; the lower the better."""


def refuse_no_history(given: Any) -> None:
    """Raise SettingsError for an argument `history` that is neither None nor what `train_model` returned."""
    if given is not None and not (isinstance(given, History) and given.epochs):
        raise SettingsError(f"history is a {type(given).__name__} without the epochs of a training by matlens. Give "
                            "what train_model returned, or leave history out.")
