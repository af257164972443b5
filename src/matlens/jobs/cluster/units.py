"""Do units of work at once, each a registered job elsewhere, and show how they go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from matlens.errors import MatlensError
from matlens.system.console import Advance, Reporter
from matlens.system.transport import Event, OnEvent
from matlens.workers.telling import SHOWN, show

_AT_ONCE = 256
"""Units that are asked for at most; those beyond wait here, the others where they are done."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """How a unit came out: the error that ended it, or None; and what its job told besides lines and progress."""

    error: MatlensError | None
    told: tuple[Event, ...]

    def event(self, name: str) -> Event:
        """Return what the job told under a name. Raises the error that ended it."""
        if self.error is not None:
            raise self.error
        return next(event for event in self.told if event["event"] == name)


def _nothing_more(outcome: Outcome) -> Iterable[Unit]:
    return ()


@dataclass(frozen=True)
class Unit:
    """A registered job that is a part of a larger one.

    name: for lines and warnings about it; "" where there is but one.
    counts: whether progress counts it.
    then: called with its outcome, in the main thread; returns the units that follow from it.
    """

    name: str
    job: str
    task: object
    log_file: Path
    counts: bool = False
    then: Callable[[Outcome], Iterable[Unit]] = field(default=_nothing_more)


class Doer(Protocol):
    """Does jobs elsewhere, several at once; see `system.cluster.transport.RayTasks`."""

    def run(self, job: str, task: object, log_file: Path, on_event: OnEvent, environment: Mapping[str, str],
            ) -> None:
        """Do a job, and return when it has ended."""

    def stop(self) -> None:
        """End all jobs that are being done."""


def do_units(units: Sequence[Unit], doer: Doer, reporter: Reporter, title: str, total: int) -> None:
    """Do units, and those that follow from them. What stops this, stops them.

    A unit that fails ends nothing but itself: its `then` hears of it, and may raise.

    total: how many of all of them count for progress.
    """
    lock, done = threading.Lock(), 0
    with reporter.progress(title, total) as advance, ThreadPoolExecutor(_AT_ONCE, "matlens-unit") as pool:
        def begin(unit: Unit) -> tuple[Future[Outcome], Unit]:
            return pool.submit(_done, unit, doer, _Shown(unit.name, reporter, advance, lock, lambda: done)), unit

        pending = dict(map(begin, units))
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    unit = pending.pop(future)
                    if unit.counts:
                        with lock:
                            done += 1
                            advance(done, "")
                    pending |= dict(map(begin, unit.then(future.result())))
        except BaseException:
            for future in pending:
                future.cancel()
            doer.stop()
            raise


def _done(unit: Unit, doer: Doer, shown: _Shown) -> Outcome:
    try:
        doer.run(unit.job, unit.task, unit.log_file, shown.hear, _NOTHING)
    except MatlensError as error:
        return Outcome(error, tuple(shown.told))
    return Outcome(None, tuple(shown.told))


@dataclass(frozen=True)
class _Shown:
    """Shows what a unit's job tells, a line at a time; several units do so at once."""

    name: str
    reporter: Reporter
    advance: Advance
    lock: threading.Lock
    done: Callable[[], int]
    told: list[Event] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        before = f"{self.name}: " if self.name else ""
        with self.lock:
            if event["event"] == "progress":
                words = f" {event['words']}" if event["words"] else ""
                self.advance(self.done(), f"{before}{event['title']} {event['done']}/{event['total']}{words}")
            elif event["event"] in SHOWN:
                show(event, self.reporter, self.name)
            elif event["event"] == "lost":
                self.reporter.warn(f"{before}{event['node']} is gone, and with it what it did of this since the last "
                                   "checkpoint. It begins again on another node.")
            elif event["event"] == "placed":
                if self.name:
                    self.reporter.say(f"{before}on {event['node']}")
            else:
                self.told.append(event)
