"""Show a person how a training goes."""

from __future__ import annotations

from matlens.console import Advance, Reporter
from matlens.models.protocol import Scores
from matlens.training.history import Epoch


class ShownProgress:
    """See `loop.Progress`: a bar by steps, a line an epoch. first: the epochs that an earlier stage had."""

    def __init__(self, reporter: Reporter, advance: Advance, steps: int, first: int = 0) -> None:
        self._reporter, self._advance, self._steps, self._first = reporter, advance, steps, first

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        """Move the bar."""
        self._advance((epoch - 1 - self._first) * self._steps + step,
                      f"epoch {epoch}, loss {scores.loss:.3f}, accuracy {scores.accuracy:.1%}")

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        """Move the bar to the epoch's end, and say how it went."""
        self._advance((epoch.number - self._first) * self._steps, "")
        self._reporter.say(epoch.line(improved))
