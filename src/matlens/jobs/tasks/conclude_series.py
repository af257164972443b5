"""The job `conclude_series`: compare the runs of a series, and write its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class ConcludeSeriesTask:
    """The folder of a series whose runs are done."""

    series_dir: Path


@job("conclude_series")
def conclude_series(task: ConcludeSeriesTask, tell: Tell) -> None:
    """Write the tables and the page of the series. Tells of its lines."""
    from matlens.jobs.series import summarise_series
    from matlens.runs.series import SeriesFolder
    from matlens.workers.telling import TellingReporter

    reporter, comparison = TellingReporter(tell), summarise_series(SeriesFolder.open(task.series_dir))
    reporter.say("")
    for line in comparison.lines() if comparison else ():
        reporter.say(line)
