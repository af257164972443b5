"""Features of a frozen trunk: matlens' engine against Keras' `predict`, on the same photos in the same call.

    python benchmarks/bench_trunk.py [mobilenetv2_transfer|resnet50_transfer ...]

Random weights (they do not change the speed), 224 px; photos/s as the median of five passes. matlens gets bytes, Keras
float32 batches of 64, converted beforehand.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from matlens.features.engine import PhotoEngine, features_of
from matlens.models.protocol import BuildOrder, room_of

SIDE, PHOTOS, PASSES = 224, 256, 5


def rates(work: Callable[[], object]) -> list[float]:
    """Photos/s of each pass, after one that does not count."""
    work()
    found = []
    for _ in range(PASSES):
        started = time.perf_counter()
        work()
        found.append(PHOTOS / (time.perf_counter() - started))
    return found


def main() -> None:
    """Measure each model, and print."""
    photos = np.random.default_rng(0).integers(0, 256, (PHOTOS, SIDE, SIDE, 3), dtype=np.uint8)
    for name in sys.argv[1:] or ("mobilenetv2_transfer", "resnet50_transfer"):
        classifier = room_of(name).build(BuildOrder(name, 6, (SIDE, SIDE)))
        with tempfile.TemporaryDirectory() as folder:
            classifier.export_trunk(Path(folder))
            engine = PhotoEngine(Path(folder) / "trunk.xml", (SIDE, SIDE), pooled=True)
            model, floats = classifier.model, photos.astype(np.float32) / 255  # type: ignore[attr-defined]
            ours = rates(lambda engine=engine: features_of(engine, iter(photos), PHOTOS))  # type: ignore[misc]
            keras = rates(lambda model=model, floats=floats: model.predict(floats, batch_size=64, verbose=0))
        for what, found in ((f"{name}, matlens", ours), (f"{name}, Keras predict", keras)):
            print(f"{what:<38} {statistics.median(found):6.0f} photos/s  (n = {PHOTOS} photos, {PASSES} passes, "
                  f"{min(found):.0f} to {max(found):.0f})")
        print(f"ratio {statistics.median(ours) / statistics.median(keras):.1f}", flush=True)


if __name__ == "__main__":
    main()
