"""Convert the frozen trunks that a run needs, beside its other work; kept ones are used as they are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from matlens.caches import Say, kept_or_made, silent, writing
from matlens.errors import MatlensError, WorkerError
from matlens.features.trunks import CachedTrunk, trunk_folder
from matlens.models.catalogue import model_info
from matlens.models.protocol import BuildOrder
from matlens.settings import Settings
from matlens.training.child import run_child


class TrunkConversions:
    """Trunks by model, one after the other in a thread, each in a process of its own that may import the framework."""

    def __init__(self, settings: Settings, weights: Mapping[str, Path | None], num_classes: int,
                 say: Say = silent) -> None:
        """Begin. weights: files of ImageNet weights by model; None where a model begins from random ones.

        say: told that another process is converting the same trunk.
        """
        self._cache_dir, self._say = settings.cache_dir, say
        self._orders = {name: BuildOrder(name, num_classes, settings.img_size, file.resolve(), settings.alpha)
                        for name, file in weights.items()
                        if file is not None and trains_on_features(settings, name)}
        self._done = {name: threading.Event() for name in self._orders}
        self._found: dict[str, CachedTrunk | MatlensError] = {}
        threading.Thread(target=self._work, daemon=True, name="matlens-conversion").start()

    def trunk(self, name: str) -> CachedTrunk | None:
        """Wait for a model's trunk; None where the model is trained the plain way. Raises what converting raised."""
        if name not in self._orders:
            return None
        self._done[name].wait()
        found = self._found[name]
        if isinstance(found, MatlensError):
            raise found
        return found

    def _work(self) -> None:
        for name, order in self._orders.items():
            try:
                self._found[name] = _converted(order, self._cache_dir, self._say)
            except MatlensError as error:
                self._found[name] = error
            except Exception as error:  # noqa: BLE001 -- raised again where the trunk is asked for
                self._found[name] = WorkerError(f"{type(error).__name__}: {error}")
            self._done[name].set()


def trains_on_features(settings: Settings, name: str) -> bool:
    """Whether a pretrained model's head is trained on kept features: not where the photos change or the trunk does."""
    return (settings.feature_cache and not settings.finetune_epochs
            and model_info(name).transfer_head is not None)


def _converted(order: BuildOrder, cache_dir: Path, say: Say) -> CachedTrunk:
    folder = trunk_folder(cache_dir, order)
    log_file = cache_dir / "trunks" / f"{order.model}.log"
    what = f"the converted trunk of {order.model}"

    def make() -> None:
        with writing(folder, what):
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log_file.touch()
        run_child("convert", {"order": order.to_json(), "folder": str(folder)}, log_file, lambda event: None)

    return kept_or_made(folder, what, CachedTrunk.open, make, say)
