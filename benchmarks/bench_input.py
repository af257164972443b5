"""First pass over the photos: the pixel store against Pillow, file by file, on the same photos in the same call.

    python benchmarks/bench_input.py [DATA]        (default: drawn photos of 362 px)

Prints photos/s as the median of five passes with its spread, and the ratio. Caches of the file system are warm.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from matlens.data.sources import open_source
from matlens.data.store import hash_photos, prepare_store
from matlens.data.synthetic import draw_dataset

SIZE = (224, 224)
PASSES = 5


def rates(n: int, work: Callable[[int], None]) -> list[float]:
    """Photos/s of each pass."""
    found = []
    for number in range(PASSES):
        started = time.perf_counter()
        work(number)
        found.append(n / (time.perf_counter() - started))
    return found


def main() -> None:
    """Measure both, and print."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(sys.argv[1]) if len(sys.argv) > 1 else draw_dataset(Path(folder) / "photos", size=362)
        source = open_source(data)
        paths = [photo.path for photo in source.photos]
        hashes = hash_photos(source.root, paths)[0]

        def ours(number: int) -> None:
            prepare_store(source.root, hash_photos(source.root, paths)[0], SIZE, Path(folder) / str(number))

        def pillow(number: int) -> None:
            for path in hashes:
                with Image.open(source.root / path) as image:
                    np.asarray(image.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR))

        results = {"matlens pixel store": rates(len(paths), ours), "Pillow": rates(len(paths), pillow)}
    for name, found in results.items():
        print(f"{name:<20} {statistics.median(found):7.0f} photos/s  (n = {len(paths)} photos, {PASSES} passes, "
              f"{min(found):.0f} to {max(found):.0f})")
    ours_median, pillow_median = (statistics.median(found) for found in results.values())
    print(f"ratio {ours_median / pillow_median:.1f}")


if __name__ == "__main__":
    main()
