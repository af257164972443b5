"""Show the user how a training goes."""

from __future__ import annotations

import time

from matlens.models.registry import spec_of
from matlens.runs.record import note_resumption
from matlens.runs.run import Run
from matlens.system.console import Advance, Reporter
from matlens.system.transport import Event
from matlens.training.history import Epoch
from matlens.types import Scores


class ShownProgress:
    """A `TrainingListener` that moves a bar at each step and prints a line for each epoch.

    steps: in an epoch. first: the number of epochs that an earlier stage had.
    """

    def __init__(self, reporter: Reporter, advance: Advance, steps: int, first: int = 0) -> None:
        self._reporter, self._advance, self._steps, self._first = reporter, advance, steps, first

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        """Move the bar."""
        self._advance((epoch - 1 - self._first) * self._steps + step,
                      f"epoch {epoch}, loss {scores.loss:.3f}, accuracy {100 * scores.accuracy:.1f} %")

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        """Move the bar to the epoch's end, and print its figures."""
        self._advance((epoch.number - self._first) * self._steps, "")
        self._reporter.say(epoch.line(improved))


class Resumption:
    """A `ResumptionListener` that prints a line and records the epoch in run.json."""

    def __init__(self, run: Run, model: str, reporter: Reporter) -> None:
        self._run, self._model, self._reporter = run, model, reporter

    def on_resume(self, epoch: int) -> None:
        """Print the epoch and record it in run.json."""
        self._reporter.say(f"{spec_of(self._model).title}: goes on with epoch {epoch}")
        note_resumption(self._run.paths, self._model, epoch)

    def on_warning(self, text: str) -> None:
        """Print a warning, which is shown even with --quiet."""
        self._reporter.warn(f"{self._model}: {text}")


class ChildProgress(Resumption):
    """Shows how a training in a child process goes.

    micro_batch: the number of photos that the child computes at once; None as long as it computes whole batches.
    """

    def __init__(self, run: Run, model: str, reporter: Reporter, advance: Advance, steps: int, first: int = 0) -> None:
        """steps: in an epoch. first: the number of epochs that were trained before."""
        super().__init__(run, model, reporter)
        self._advance, self._steps, self._first, self._batch_size = advance, steps, first, run.settings.batch_size
        self._shown = ShownProgress(reporter, advance, steps, first)
        self._began: tuple[float, int] | None = None
        self.micro_batch: int | None = None

    def hear(self, event: Event) -> None:
        """Show an event that the child told of."""
        kind = event["event"]
        if kind == "step":
            done, now = (event["epoch"] - self._first - 1) * self._steps + event["step"], time.monotonic()
            since, before = self._began = self._began or (now, done)
            rate = (done - before) * self._batch_size / max(now - since, 1e-3)
            self._advance(done, f"epoch {event['epoch']}, loss {event['loss']:.3f}, accuracy "
                                f"{100 * event['accuracy']:.1f} %"
                                + (f", {rate:.0f} photos/s" if done > before else ""))
        elif kind == "epoch":
            self._shown.on_epoch(Epoch.from_json(event), event["improved"])
        elif kind == "resumed":
            self.on_resume(event["epoch"])
        elif kind == "warning":
            self.on_warning(event["text"])
        elif kind == "halved":
            self.micro_batch = event["size"]
            self.on_warning(f"There was too little memory; batches are computed {event['size']} photos at a time.")
