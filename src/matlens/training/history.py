"""The figures of each epoch of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from matlens.errors import SettingsError
from matlens.types import Scores


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. number counts from 1; photos_per_second leaves validation out.

    strength: of the penalty, where a head was fitted at once by the recipe `probe`, which has no epochs: each strength
        that it tries stands as one. There is no learning rate then.
    """

    number: int
    train: Scores
    val: Scores
    learning_rate: float
    seconds: float
    photos_per_second: float
    strength: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Epoch:
        """Make an epoch from what `dataclasses.asdict` returned."""
        scores = {part: Scores(**content[part]) for part in ("train", "val")}
        return cls(content["number"], scores["train"], scores["val"], content["learning_rate"], content["seconds"],
                   content["photos_per_second"], content.get("strength"))

    def line(self, improved: bool) -> str:
        """Describe the epoch in one line."""
        return (f"  epoch {self.number}: loss {self.train.loss:.3f}, accuracy {self.train.accuracy:.1%}, val loss "
                f"{self.val.loss:.3f}, val accuracy {self.val.accuracy:.1%}, {self.photos_per_second:.0f} photos/s, "
                f"{self.seconds:.0f} s" + (" (best so far)" if improved else ""))


@dataclass
class History:
    """The epochs so far.

    keep_last: the last epoch counts as the best, since validation photos are trained on.
    head_epochs: the first so many epochs trained the head alone, as the recipe `strong` begins; 0 by another recipe.
    """

    epochs: list[Epoch] = field(default_factory=list)
    keep_last: bool = False
    head_epochs: int = 0

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, the first of equals; or the last one.

        An epoch that follows those of the head counts only if it has no lower validation accuracy than the best of the
        head's: losses of smoothed labels cannot be compared with those of others.
        """
        if self.keep_last:
            return self.epochs[-1]
        first, later = self.epochs[:self.head_epochs], self.epochs[self.head_epochs:]
        head = min(first, key=_val_loss, default=None)
        as_right = [epoch for epoch in later if head is None or epoch.val.accuracy >= head.val.accuracy]
        return min(as_right, key=_val_loss) if head is None or as_right else head

    @property
    def history(self) -> dict[str, list[float]]:
        """The guide's curves, as in Keras' History: {loss, accuracy, val_loss, val_accuracy, learning_rate: [...]}.

        Of the recipe `probe`, `strength` stands in place of `learning_rate`.
        """
        strengths = [epoch.strength for epoch in self.epochs if epoch.strength is not None]
        return {
            "loss": [epoch.train.loss for epoch in self.epochs],
            "accuracy": [epoch.train.accuracy for epoch in self.epochs],
            "val_loss": [epoch.val.loss for epoch in self.epochs],
            "val_accuracy": [epoch.val.accuracy for epoch in self.epochs],
            **({"strength": strengths} if strengths else
               {"learning_rate": [epoch.learning_rate for epoch in self.epochs]}),
        }


def _val_loss(epoch: Epoch) -> float:
    return epoch.val.loss


def refuse_no_history(given: Any) -> None:
    """Raise SettingsError for an argument `history` that is neither None nor what `train_model` returned."""
    if given is not None and not (isinstance(given, History) and given.epochs):
        raise SettingsError(f"history is a {type(given).__name__} without the epochs of a training by matlens. Give "
                            "what train_model returned, or leave history out.")
