"""Compute what the frozen part of a model makes of a run's photos: once, cached, and shared by runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from matlens.data.prepare import Prepared
from matlens.errors import CacheError, DeviceError, KilledError, ModelError
from matlens.features.cache import FeatureCache, FeaturePart, feature_parts, rows_of
from matlens.features.conversion import Conversion, TrunkConversions
from matlens.features.engine import Engine, PhotoEngine, channels_of
from matlens.features.precision.comparison import PrecisionComparison, compare_precisions
from matlens.features.precision.parts import judged_part, learned_parts
from matlens.features.trunks import CachedTrunk, TrunkOrder
from matlens.models.head import AnyHead
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.settings.themes.feature_precision import FeatureArithmetic
from matlens.system.console import Advance, Reporter
from matlens.system.resources import has_nvidia_gpu
from matlens.system.shards.gathered import ShardedRows
from matlens.system.transport import Event, run_job
from matlens.training.record import Clock
from matlens.types import Progress

Computed = TypeVar("Computed")

_LEFT_FREE = 1e9
"""Bytes that activations leave free on the disk."""


@dataclass(frozen=True)
class FeaturesTask:
    """The trunk of which the job `features` computes what a run needs.

    gpu_only: compute nothing where the framework finds no GPU.
    """

    order: TrunkOrder
    run_dir: Path
    store: Path
    cache_dir: Path
    gpu_only: bool


@dataclass(frozen=True)
class PooledFeatures:
    """Features for the training of a head, averaged over places.

    views: view 0 of all photos, (N, K) mapped from the disk, then the other views of the training photos.
    digests: SHA-256 of the photos of view 0, in the order of its rows. Of two rows of a photo the last one counts.
    computed_by: what computed those of training photos: the key of the trunk, and the arithmetic if it is a shorter
        one.
    key: of view 0 in the cache.
    """

    views: tuple[ShardedRows, ...]
    digests: tuple[str, ...]
    computed_by: str
    key: str


@dataclass(frozen=True)
class ActivationViews:
    """Activations for the training of what follows a cut.

    layer: at which they were taken. train: a folder for each view of the training photos. val: the folder of the
    validation photos.
    """

    layer: str
    train: tuple[Path, ...]
    val: Path


@dataclass(frozen=True)
class FrozenFeatures:
    """The features and activations of one model of a run. Needs no framework where they are cached.

    weights_file: the file of pretrained weights; None for random ones, of which nothing is frozen.
    remarks: why a GPU that the machine has did not compute features; grows as they are computed.
    precision: in which pooled features for the training of a head are computed.
    """

    run: Run
    model: str
    weights_file: Path | None
    prepared: Prepared
    conversions: TrunkConversions
    reporter: Reporter
    clock: Clock = field(default_factory=Clock)
    remarks: list[str] = field(default_factory=list)
    precision: FeatureArithmetic = "float32"

    def pooled(self, n_views: int | None = None) -> PooledFeatures:
        """Compute the features of the whole trunk, or take them from the cache. n_views: if not as set."""
        conversion = self.conversions.of(self.model, None)
        if self.precision != "float32":
            return self._pooled_in_two(conversion, n_views or self.run.settings.views)
        parts = feature_parts(self.prepared.split, n_views or self.run.settings.views, pooled=True)
        cache = self._cache(conversion, self._computes_in_framework(conversion, parts))
        views = self._computed("features", parts, lambda part, progress: cache.features(
            part.digests, part.view, progress))
        self.clock.lap("features")
        return PooledFeatures(tuple(views), parts[0].digests, conversion.order.key, cache.key(parts[0].digests))

    def _pooled_in_two(self, conversion: Conversion, views: int) -> PooledFeatures:
        """Compute what a head learns from in the shorter arithmetic, and what judges it in float32, by OpenVINO."""
        split = self.prepared.split
        parts, judged = learned_parts(split, views), judged_part(split)
        shorter, float32 = self._cache(conversion, precision=self.precision), self._cache(conversion)
        view, *others, of_judged = self._computed("features", (*parts, judged), lambda part, progress: (
            float32 if part is judged else shorter).features(part.digests, part.view, progress))
        self.clock.lap("features")
        return PooledFeatures(
            (view.followed_by(of_judged), *others), (*parts[0].digests, *judged.digests),
            f"{conversion.order.key} {self.precision}", shorter.key(parts[0].digests))

    def judged_key(self) -> str | None:
        """Return the key of features that are float32 beside shorter ones; None where all are float32."""
        if self.precision == "float32":
            return None
        return self._cache(self.conversions.of(self.model, None)).key(judged_part(self.prepared.split).digests)

    def compared(self, head: AnyHead) -> PrecisionComparison:
        """Compare the arithmetic of the features that a head was trained on with float32, on validation photos."""
        conversion, split = self.conversions.of(self.model, None), self.prepared.split
        photos, judged, learned = split.part("val"), judged_part(split), learned_parts(split, 1)[0]
        shorter, float32 = (
            self._cache(conversion, precision=precision).features(part.digests)[rows_of(photos, part.digests)]
            for precision, part in ((self.precision, learned), ("float32", judged)))
        return compare_precisions(head, shorter, float32, split.labels(photos), self.precision)

    def in_float32(self) -> FrozenFeatures:
        """Return the same, whose features are all computed in float32."""
        return replace(self, precision="float32")

    def bytes_of_features(self) -> int:
        """Return the bytes of one photo's features of the whole trunk. Waits for its draft."""
        conversion = self.conversions.of(self.model, None)
        try:
            return 4 * channels_of(conversion.network / "trunk.xml")
        except ModelError:  # a draft may have been confirmed, and so removed, before it was read
            return 4 * channels_of(conversion.confirmed().folder / "trunk.xml")

    def activations(self, cut: str) -> ActivationViews | None:
        """Compute the activations at a cut, or take them from the cache.

        Returns None, after a warning, where there is no room for them.
        """
        settings, dtype = self.run.settings, self.run.settings.activations
        conversion = self.conversions.of(self.model, cut)
        parts = feature_parts(self.prepared.split, settings.views, pooled=False)
        cache = self._cache(conversion, self._wants_framework)
        needed = sum(cache.bytes_to_write(part.digests, part.view, dtype) for part in parts)
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.cache_dir).free
        if needed:
            self.reporter.say(f"  activations at the cut: {needed / 1e9:.2f} GB in {settings.cache_dir} "
                              f"({free / 1e9:.0f} GB free)")
        try:
            if needed and needed + _LEFT_FREE > free:
                raise CacheError(f"The disk of {settings.cache_dir} has too little room for activations.")
            cache = self._cache(conversion, self._computes_in_framework(conversion, parts))
            computed = self._computed("activations", parts, lambda part, progress: cache.activations(
                part.digests, part.view, dtype, progress))
        except CacheError as error:
            self.reporter.warn(f"{self.model}: {error} Every epoch computes them again ({needed / 1e9:.2f} GB are "
                               "needed), which is several times slower.")
            return None
        self.clock.lap("activations")
        *train, val = (activations.folder.resolve() for activations in computed)
        return ActivationViews(self.trunk(cut).until, tuple(train), val)

    def trunk(self, until: str | None) -> CachedTrunk:
        """Wait for the trunk up to a layer, converted and confirmed."""
        return self.conversions.of(self.model, until).confirmed()

    def _cache(self, conversion: Conversion, by_framework: bool = False,
               precision: FeatureArithmetic = "float32") -> FeatureCache:
        def engine(pooled: bool) -> Engine:
            size = self.run.settings.img_size
            try:
                return PhotoEngine(conversion.network / "trunk.xml", size, pooled=pooled, precision=precision)
            except ModelError:  # a draft may have been confirmed, and so removed, before it was read
                return PhotoEngine(conversion.confirmed().folder / "trunk.xml", size, pooled=pooled,
                                   precision=precision)

        by_openvino = "openvino" if precision == "float32" else f"openvino {precision}"
        return FeatureCache(self.run.settings.cache_dir, conversion.order.key, self.model, self.prepared.store,
                            engine, "framework" if by_framework else by_openvino, conversion.confirmed,
                            self.reporter.say, self.reporter.warn)

    def _computed(self, what: str, parts: Sequence[FeaturePart], compute: Callable[[FeaturePart, Progress], Computed],
                  ) -> list[Computed]:
        """Compute each part, in their order, under one bar of progress."""
        computed, before = [], 0
        with self._progress(what, parts) as advance:
            for part in parts:
                computed.append(compute(part, partial(_shifted, advance, before)))
                before += len(part.digests)
        return computed

    @cached_property
    def _wants_framework(self) -> bool:
        choice = self.run.settings.features_on
        if choice != "auto" or self.run.settings.device is not None:  # a GPU that is named is tried
            return choice == "framework" or (choice == "auto" and self.run.settings.device != "cpu")
        return has_nvidia_gpu()

    def _computes_in_framework(self, conversion: Conversion, parts: Sequence[FeaturePart]) -> bool:
        """Compute features in the model's framework, if that is asked for or it has a GPU. Returns whether it did."""
        settings, pooled = self.run.settings, conversion.order.until is None
        if not self._wants_framework:
            return False
        task = FeaturesTask(conversion.order, self.run.path.resolve(), self.prepared.store.folder.resolve(),
                            settings.cache_dir.resolve(), gpu_only=settings.features_on == "auto")
        with self._progress("features" if pooled else "activations", parts) as advance:
            def hear(event: Event) -> None:
                if event["event"] == "warning":
                    self._remark(event["text"])
                else:
                    advance(event["done"], "")

            try:
                run_job("features", task, self.run.paths.log_file(self.model), hear)
            except (DeviceError, KilledError) as error:
                if not task.gpu_only or settings.device is not None:
                    raise
                self._remark(f"{error} OpenVINO computes its features instead.")
                return False
        cache, kind = self._cache(conversion, True), settings.activations
        return all(cache.holds(part.digests, part.view, "pooled" if pooled else kind) for part in parts)

    def _remark(self, warning: str) -> None:
        """Tell of a GPU that is not used, and keep it for the results."""
        self.reporter.warn(f"{self.model}: {warning}")
        if (remark := f"features of the frozen network: {warning}") not in self.remarks:
            self.remarks.append(remark)

    def _progress(self, what: str, parts: Sequence[FeaturePart]) -> AbstractContextManager[Advance]:
        photos = sum(len(part.digests) for part in parts)
        return self.reporter.progress(f"{spec_of(self.model).title}: {what}", photos)


def _shifted(advance: Advance, before: int, done: int, total: int) -> None:
    advance(before + done, "")
