"""Convert the frozen trunks that a run needs, beside its other work; those in the cache are used as they are."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import MatlensError, WorkerError
from matlens.features.trunks import CachedTrunk, TrunkOrder, adopt_trunk
from matlens.models.registry import file_stem, spec_of
from matlens.system.caches import Say, opened_or_made, silent, writing
from matlens.system.transport import Event, run_job


@dataclass(frozen=True)
class TrunkTask:
    """The trunk that the jobs `draft` and `confirm` convert, and the cache that it goes to."""

    order: TrunkOrder
    cache_dir: Path


class TrunkConversions:
    """Converts trunks one after the other in a thread, each by jobs that may import the framework."""

    def __init__(self, orders: Iterable[TrunkOrder], cache_dir: Path, say: Say = silent, warn: Say = silent) -> None:
        """Begin with the conversions, in the order given.

        say: called with a message where another process converts the same trunk. warn: called with what is too slow.
        """
        self._conversions = {(order.build.model, order.until): Conversion(order, cache_dir, say, warn)
                             for order in orders}
        threading.Thread(target=self._work, daemon=True, name="matlens-conversion").start()

    def of(self, model: str, until: str | None) -> Conversion:
        """Return the conversion of a model's trunk up to a layer. Raises KeyError for one that was not ordered."""
        return self._conversions[model, until]

    def _work(self) -> None:
        for conversion in self._conversions.values():
            conversion.do()


class Conversion:
    """The conversion of one trunk. Its features can be computed as soon as there is a draft."""

    def __init__(self, order: TrunkOrder, cache_dir: Path, say: Say = silent, warn: Say = silent) -> None:
        self.order, self._cache_dir, self._say, self._warn = order, cache_dir, say, warn
        self._what = f"the converted trunk of {order.build.model}"
        self._drafted, self._confirmed = threading.Event(), threading.Event()
        self._trunk: CachedTrunk | None = None
        self._failure: MatlensError | None = None

    @property
    def network(self) -> Path:
        """The folder with trunk.xml, a draft or confirmed: waits for it. Raises what the conversion raised."""
        self._drafted.wait()
        self._raise_failure()
        return self._trunk.folder if self._trunk else self.order.draft(self._cache_dir)

    def confirmed(self) -> CachedTrunk:
        """Wait for the trunk that was compared with its framework. Raises what the conversion raised."""
        self._confirmed.wait()
        self._raise_failure()
        assert self._trunk is not None
        return self._trunk

    def do(self) -> None:
        """Convert the trunk, unless it is in the cache. Errors are raised where the trunk is asked for."""
        try:
            self._trunk = opened_or_made(self.order.folder(self._cache_dir), self._what, CachedTrunk.open, self._make,
                                         self._say)
        except MatlensError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 -- raised where the trunk is asked for
            self._failure = WorkerError(f"{type(error).__name__}: {error}")
        self._drafted.set()
        self._confirmed.set()

    def _make(self) -> None:
        if adopt_trunk(self.order, self._cache_dir):
            return
        draft, environment = self.order.draft(self._cache_dir), spec_of(self.order.build.model).draft_environment
        try:
            opened_or_made(draft, self._what, _whole_draft, lambda: self._run("draft", environment), self._say)
            self._drafted.set()
        except MatlensError:  # the framework's backend for drafts is not up to it: its own backend then drafts too
            if not environment:
                raise
        self._run("confirm", {})

    def _run(self, job: str, environment: Mapping[str, str]) -> None:
        log = self._cache_dir / "trunks" / f"{file_stem(self.order.build.model)}.log"
        with writing(self.order.folder(self._cache_dir), self._what):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        run_job(job, TrunkTask(self.order, self._cache_dir), log, self._hear, environment)

    def _hear(self, event: Event) -> None:
        if event["event"] == "warning":
            self._warn(f"{self.order.build.model}: {event['text']}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _whole_draft(folder: Path) -> Path | None:
    return folder if (folder / "trunk.xml").exists() and (folder / "trunk.bin").exists() else None
