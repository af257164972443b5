"""Convert the frozen trunks that a run needs, beside its other work; kept ones are used as they are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from matlens.errors import MatlensError, WorkerError
from matlens.features.trunks import CachedTrunk, TrunkOrder
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings
from matlens.system.caches import Say, kept_or_made, silent, writing
from matlens.system.child import run_child
from matlens.training.plan import plan


class TrunkConversions:
    """Trunks by model, one after the other in a thread, each in processes of its own that may import the framework."""

    def __init__(self, settings: Settings, weights: Mapping[str, Path | None], num_classes: int,
                 say: Say = silent) -> None:
        """Begin. weights: files of ImageNet weights by model; None where a model begins from random ones.

        say: told that another process is converting the same trunk.
        """
        self._conversions = {
            (name, until): Conversion(TrunkOrder(
                BuildOrder(name, num_classes, settings.img_size, file.resolve(), settings.options_of(name)), until),
                settings.cache_dir, say)
            for name, file in weights.items() if file is not None
            for until in plan(settings, name, True).trunks}
        threading.Thread(target=self._work, daemon=True, name="matlens-conversion").start()

    def of(self, name: str, until: str | None) -> Conversion:
        """One that the plan for a pretrained model asks for."""
        return self._conversions[name, until]

    def _work(self) -> None:
        for conversion in self._conversions.values():
            conversion.do()


class Conversion:
    """One trunk in the making. Its features can be computed as soon as there is a draft."""

    def __init__(self, order: TrunkOrder, cache_dir: Path, say: Say = silent) -> None:
        self.order, self._cache_dir, self._say = order, cache_dir, say
        self._what = f"the converted trunk of {order.build.model}"
        self._drafted, self._confirmed = threading.Event(), threading.Event()
        self._found: CachedTrunk | None = None
        self._failure: MatlensError | None = None

    @property
    def network(self) -> Path:
        """Wait for the folder with trunk.xml, a draft or confirmed. Raises what converting raised."""
        self._drafted.wait()
        self._raise_failure()
        return self._found.folder if self._found else self.order.draft(self._cache_dir)

    def confirmed(self) -> CachedTrunk:
        """Wait for the trunk that was compared with its framework. Raises what converting raised."""
        self._confirmed.wait()
        self._raise_failure()
        assert self._found is not None
        return self._found

    def do(self) -> None:
        """Convert, unless it is kept already. Errors are kept for those who wait."""
        try:
            self._found = kept_or_made(self.order.folder(self._cache_dir), self._what, CachedTrunk.open, self._make,
                                       self._say)
        except MatlensError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 -- raised again where the trunk is asked for
            self._failure = WorkerError(f"{type(error).__name__}: {error}")
        self._drafted.set()
        self._confirmed.set()

    def _make(self) -> None:
        draft, environment = self.order.draft(self._cache_dir), spec_of(self.order.build.model).draft_environment
        try:
            kept_or_made(draft, self._what, _whole_draft, lambda: self._run("draft", environment), self._say)
            self._drafted.set()
        except MatlensError:  # another Keras, whose OpenVINO backend is not up to it: its own backend then drafts too
            if not environment:
                raise
        self._run("confirm", {})

    def _run(self, kind: str, environment: Mapping[str, str]) -> None:
        log = self._cache_dir / "trunks" / f"{self.order.build.model}.log"
        with writing(self.order.folder(self._cache_dir), self._what):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        run_child(kind, {"order": self.order.to_json(), "cache_dir": str(self._cache_dir)}, log, lambda event: None,
                  environment)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _whole_draft(folder: Path) -> Path | None:
    return folder if (folder / "trunk.xml").exists() and (folder / "trunk.bin").exists() else None

