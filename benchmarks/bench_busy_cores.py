"""GoogLeNet's training steps beside other work, by how long PyTorch's threads ask for work before they sleep.

    python benchmarks/bench_busy_cores.py

The peer is PyTorch as it comes (300,000 times), in the same call and in turn with matlens' default. 96 px, batches of
32, random photos and weights. Each training has a process of its own, alone or beside one that loops without end.
Prints the medians of photos/s of 3 epochs in each of 2 processes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import numpy as np

from matlens.models.protocol import BuildOrder, room_of
from matlens.types import Batch

SIDE, CLASSES, BATCH, STEPS, EPOCHS, PROCESSES = 96, 6, 32, 6, 3, 2
PEER = {"GOMP_SPINCOUNT": "300000"}


def train() -> None:
    """Print photos/s of each epoch."""
    room = room_of("inception_v1")
    room.seed(0, False)
    classifier, rng = room.build(BuildOrder("inception_v1", CLASSES, (SIDE, SIDE))), np.random.default_rng(0)
    batches: list[Batch] = [(rng.random((BATCH, SIDE, SIDE, 3), np.float32),
                             np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]) for _ in range(STEPS)]
    classifier.train_epoch(batches[:2], lambda *_: None)
    for _ in range(EPOCHS):
        started = time.perf_counter()
        classifier.train_epoch(batches, lambda *_: None)
        print(BATCH * STEPS / (time.perf_counter() - started))


def measured(environment: dict[str, str], busy: int) -> list[float]:
    """Train beside so many loops; photos/s by epoch."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        done = subprocess.run([sys.executable, __file__, "--train"], env={**os.environ, **environment}, check=True,
                              text=True, stdout=subprocess.PIPE)
        return [float(line) for line in done.stdout.split()]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    """Measure alone and beside one loop."""
    for busy in (0, 1):
        ours, theirs = list[float](), list[float]()
        for _ in range(PROCESSES):
            ours += measured({}, busy)
            theirs += measured(PEER, busy)
        our_rate, their_rate = statistics.median(ours), statistics.median(theirs)
        print(f"beside {busy} loops: {our_rate:.0f} photos/s ({min(ours):.0f} to {max(ours):.0f}), as PyTorch comes "
              f"{their_rate:.0f} ({min(theirs):.0f} to {max(theirs):.0f}), ratio {our_rate / their_rate:.2f}, "
              f"n = {len(ours)}")


if __name__ == "__main__":
    train() if "--train" in sys.argv[1:] else main()
