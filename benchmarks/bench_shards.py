"""What features in shards cost: memory, a few new photos, a damaged shard. Features are made, not computed of photos.

    python benchmarks/bench_shards.py [--photos 2500 57500] [--channels 1280] [--new 10] [--batch 64] [--work DIR]

For each number of photos, in a process of its own: all features are written; a head is trained on them for an epoch in
shuffled batches, as a run does; `--new` more photos are asked for; and, after one byte was flipped, all once
more. Seconds are of the processor; behind them is how many photos were computed. Peak memory is anonymous memory, told
by the kernel and looked at after each shard and each 100 batches: pages of mapped files are left out, since the system
takes them back. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from matlens.system.shards.sharded import OpenIndex, ShardedValues
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import HeadTrainer
from matlens.types import Batch

CLASSES = 23


class Measured:
    """Features of made photos, how many were computed, and the most memory that was seen."""

    def __init__(self, work: Path, channels: int, batch: int) -> None:
        self.work, self.channels, self.batch, self.computed, self.peak = work, channels, batch, 0, 0
        self.said: list[str] = []

    def look(self) -> None:
        """Note the anonymous memory of this process."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        self.peak = max(self.peak, int(status.partition("RssAnon:")[2].split()[0]) * 1024)

    def features(self, photos: int) -> OpenIndex:
        """Open or make the features of so many photos."""
        digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(photos)]

        def fill(chosen: tuple[str, ...], write: Callable[[int, np.ndarray], None], _: object) -> dict[str, object]:
            drawn = np.random.default_rng(int(chosen[0], 16)).random((len(chosen), self.channels), dtype=np.float32)
            for row, values in enumerate(drawn):
                write(row, values)
            self.computed += len(chosen)
            self.look()
            return {}

        found = ShardedValues(self.work, "features", "features", f"made {self.channels}", digests, "<f4",
                              lambda: (self.channels,), fill, say=self.said.append).opened_or_made()
        self.look()
        return found

    def timed(self, photos: int) -> dict[str, float]:
        """Return the seconds of the processor, and the photos computed."""
        before, self.computed = time.process_time(), 0
        self.features(photos)
        return {"seconds": round(time.process_time() - before, 2), "photos": self.computed}

    def epoch(self, photos: int) -> float:
        """Train a head for an epoch; return the seconds of the processor."""
        index, started = self.features(photos), time.process_time()
        labels = np.arange(photos) % CLASSES
        trainer = HeadTrainer.fresh(self.channels, 128, CLASSES, 0.0, 1e-3, 0)
        batches = FeatureBatches((index.values,), labels, CLASSES, self.batch, shuffle=True)

        def observed() -> Iterator[Batch]:
            for number, batch in enumerate(batches.epoch(0)):
                if number % 100 == 0:
                    self.look()
                yield batch

        trainer.train_epoch(observed(), lambda *_: None)
        return round(time.process_time() - started, 2)


def measure(photos: int, channels: int, new: int, batch: int, work: Path) -> None:
    """Print one line of JSON."""
    measured = Measured(work, channels, batch)
    found = {"photos": photos, "all": measured.timed(photos), "again": measured.timed(photos),
             "epoch": measured.epoch(photos), "new": measured.timed(photos + new)}
    shards = sorted((work / "features").glob("[!.]*-*"), key=lambda shard: (shard / "values.npy").stat().st_size)
    content = bytearray((shards[-1] / "values.npy").read_bytes())
    content[-1] ^= 1
    (shards[-1] / "values.npy").write_bytes(content)
    del content
    found |= {"damaged": measured.timed(photos + new), "said": measured.said, "shards": len(shards),
              "peak_MB": round(measured.peak / 1e6)}
    print(json.dumps(found))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[2_500, 57_500])
    parser.add_argument("--channels", type=int, default=1280)
    parser.add_argument("--new", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--work", type=Path, help="an existing folder; else a temporary one")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.photos[0], given.channels, given.new, given.batch, given.work)
        return
    for photos in given.photos:
        with tempfile.TemporaryDirectory(dir=given.work) as scratch:
            subprocess.run([sys.executable, __file__, "--one", "--photos", str(photos), "--channels",
                            str(given.channels), "--new", str(given.new), "--batch", str(given.batch), "--work",
                            scratch], check=True)


if __name__ == "__main__":
    main()
