"""The search for copies among many photos, with made signatures (no photo is decoded): time, memory, what it finds.

    python benchmarks/bench_copies.py [--sizes 57500 1000000] [--peer 20000] [--data DIR] [--repeats 3] [--only CASE]

hashes      `near_pairs` on the hashes of `--peer` photos against comparing all pairs in NumPy, whose pairs must be the
            same; the ratio of the medians.
made        `near_pairs` on a million made hashes: those of 20,000 photos, each fifty times with noise; 10,000 others
            are turned and changed in up to three bits, and are to be found.
candidates  all candidates of each of `--sizes` photos, cut out of those of `--data`, turned and mirrored, among them
            300 copies of each kind: how many of these are candidates.
groups      57,504 photos, 24 near copies of each of 2,396 (MINC-2500's size): whether the candidates of each photo are
            linked to one group.
alike       100,000 photos that are all nearly identical.

Each repeat runs in a process of its own. Core-seconds are what both cores did; where other work runs beside the
benchmark they say more than seconds. Memory is the peak of the process (ru_maxrss), signatures and Python included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from matlens.data.drawn.synthetic import draw_dataset
from matlens.data.pixels.reader import PhotoReader
from matlens.data.source.sources import open_source
from matlens.data.split.candidates import candidates
from matlens.data.split.clusters import Clusters
from matlens.data.split.hamming import CROWD, HashView, near_pairs
from matlens.data.split.signatures import SHAPES, SIDE, coefficients, hashes_of, oriented

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "trashnet-2527"
GREY = 96
"""Pixels of the sides of the grey photos that others are cut out of."""

DISTANCE, PLANTED, COPIES, SEED = 3, 300, 24, 42
Grey = npt.NDArray[np.uint8]

KINDS: dict[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "JPEG 40": lambda grey, rng: encoded(grey, 40),
    "half the size": lambda grey, rng: encoded(cv2.resize(grey, (0, 0), fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
                                               90),
    "a fifth brighter": lambda grey, rng: encoded(np.clip(grey * 1.2, 0, 255).astype(np.uint8), 90),
    "mirrored": lambda grey, rng: encoded(np.ascontiguousarray(grey[:, ::-1]), 90),
    "quarter turn": lambda grey, rng: encoded(np.ascontiguousarray(np.rot90(grey)), 90),
    "97 % of each side": lambda grey, rng: encoded(cut(grey, 0.97, 0.97, rng), 90),
    "95 % of each side": lambda grey, rng: encoded(cut(grey, 0.95, 0.95, rng), 90),
}


def encoded(grey: Grey, quality: int) -> Grey:
    """As a JPEG shows it."""
    data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def cut(grey: Grey, high: float, wide: float, rng: np.random.Generator) -> Grey:
    """These shares of the sides, from anywhere."""
    rows, columns = round(grey.shape[0] * high), round(grey.shape[1] * wide)
    top, left = (int(rng.integers(free + 1)) for free in (grey.shape[0] - rows, grey.shape[1] - columns))
    return np.ascontiguousarray(grey[top:top + rows, left:left + columns])


def signature(grey: Grey) -> bytes:
    """As `signature_of` makes it of a photo in colour."""
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8).tobytes()


def originals(data: Path) -> Grey:
    """The photos of a dataset, (N, 96, 96)."""
    source, reader = open_source(data), PhotoReader((GREY, GREY))
    return np.stack([cv2.cvtColor(reader.read(source.root / photo.path), cv2.COLOR_RGB2GRAY)
                     for photo in source.photos])


def pieces(photos: Grey, n: int) -> Iterator[Grey]:
    """`n` cuts of 60 to 90 % of each side, in any orientation."""
    rng = np.random.default_rng(SEED)
    for number in range(n):
        piece = cut(photos[number % len(photos)], rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9), rng)
        yield oriented(piece[..., None], int(rng.integers(8)))[..., 0]


def measured(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds, core-seconds and what the work returns."""
    seconds, cores = time.perf_counter(), time.process_time()
    result = work()
    return {"seconds": time.perf_counter() - seconds, "core-seconds": time.process_time() - cores}, result


def hashes(photos: Grey, n: int) -> dict[str, float]:
    """The search by bands against all pairs, among the hashes of `n` photos."""
    pictures = np.frombuffer(b"".join(map(signature, pieces(photos, n))), np.uint8).reshape(n, SIDE, SIDE)
    own, views = hashes_of(coefficients(pictures, SHAPES))

    def compare_all() -> npt.NDArray[np.int64]:
        found = [np.zeros(0, np.int64)]
        for view in (HashView(own, symmetric=True), *views):
            for start in range(0, n, 64):
                rows = own[start:start + 64]
                first, second = np.nonzero(np.bitwise_count(rows[:, None] ^ view.hashes) <= DISTANCE)
                first, second = (first + start)[first + start != second], second[first + start != second]
                found.append(np.minimum(first, second) * n + np.maximum(first, second))
        return np.stack(np.divmod(np.unique(np.concatenate(found)), n), axis=1)

    ours, pairs = measured(lambda: near_pairs(own, DISTANCE, views, crowd=n))
    peer, all_pairs = measured(compare_all)
    assert np.array_equal(pairs, all_pairs), "the pairs are not those of comparing all"
    return {**ours, "pairs": len(pairs), "all pairs, core-seconds": peer["core-seconds"],
            "times": peer["core-seconds"] / ours["core-seconds"]}


def made(photos: Grey, n: int) -> dict[str, float]:
    """The search by bands among hashes that are made of those of fewer photos."""
    rng, few, planted = np.random.default_rng(SEED), n // 50, n // 100
    pictures = np.frombuffer(b"".join(map(signature, pieces(photos, few))), np.uint8).reshape(few, SIDE, SIDE)
    shapes = coefficients(pictures, SHAPES)[np.arange(n) % few]
    shapes += rng.normal(0, 0.08, shapes.shape).astype(np.float32)
    own, views = hashes_of(shapes)
    views_of_own = [view.hashes.copy() for view in views]
    source, copy = rng.permutation(n)[:2 * planted].reshape(2, planted)
    flips = np.zeros(planted, np.uint64)
    for _ in range(3):
        flips |= np.uint64(1) << rng.integers(0, 63, planted).astype(np.uint64)
    turn = rng.integers(0, len(views), planted)
    of_copies = np.array([views_of_own[view][number] for view, number in zip(turn, source, strict=True)]) ^ flips
    signs = np.unpackbits(of_copies.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")[:, :shapes.shape[1]]
    shapes[copy] = np.where(signs, 1, -1)
    own, views = hashes_of(shapes)
    took, pairs = measured(lambda: near_pairs(own, DISTANCE, views, crowd=CROWD))
    wanted = np.minimum(source, copy) * n + np.maximum(source, copy)
    return {**took, "pairs": len(pairs), "planted that are found": float(
        np.isin(wanted, pairs[:, 0] * n + pairs[:, 1]).mean())}


def search(photos: Grey, n: int) -> dict[str, float]:
    """All candidates of `n` photos, and the share of planted copies among them."""
    rng = np.random.default_rng(SEED)
    own = n - PLANTED * len(KINDS)
    chosen = dict(zip(rng.choice(own, PLANTED * len(KINDS), replace=False).tolist(),
                      [kind for kind in KINDS for _ in range(PLANTED)], strict=True))
    signatures, copies, planted = [], [], []
    for number, piece in enumerate(pieces(photos, own)):
        signatures.append(signature(piece))
        if (kind := chosen.get(number)) is not None:
            planted.append((number, own + len(copies), kind))
            copies.append(signature(KINDS[kind](piece, rng)))
    took, found = measured(lambda: candidates(signatures + copies))
    numbers = found.pairs[:, 0] * n + found.pairs[:, 1]
    hits = dict.fromkeys(KINDS, 0)
    for first, second, kind in planted:
        place = int(np.searchsorted(numbers, first * n + second))
        hits[kind] += place < len(numbers) and bool(numbers[place] == first * n + second)
    return {**took, "pairs": len(numbers), **{kind: count / PLANTED for kind, count in hits.items()}}


def groups(photos: Grey, n: int) -> dict[str, float]:
    """24 encodings of each photo: the groups that candidates within them link."""
    rng = np.random.default_rng(SEED)
    signatures = [signature(encoded(piece, int(rng.integers(70, 96))))
                  for piece in pieces(photos, n // COPIES) for _ in range(COPIES)]
    took, found = measured(lambda: candidates(signatures))
    clusters: Clusters[int] = Clusters()
    for first, second in found.pairs.tolist():
        if first // COPIES == second // COPIES:
            clusters.join(first, second)
    linked = clusters.groups()
    return {**took, "pairs": len(found.pairs), "photos": n // COPIES, "groups": len(linked),
            "whole groups": sum(len(group) == COPIES for group in linked)}


def alike(photos: Grey, n: int) -> dict[str, float]:
    """One photo and another grain in each."""
    rng = np.random.default_rng(SEED)
    signatures = [np.clip(picture + rng.normal(0, 2, (SIDE, SIDE)), 0, 255).astype(np.uint8).tobytes()
                  for picture in [np.frombuffer(signature(photos[0]), np.uint8).reshape(SIDE, SIDE).astype(float)]
                  for _ in range(n)]
    took, found = measured(lambda: candidates(signatures))
    pictures = np.frombuffer(b"".join(signatures), np.uint8).reshape(n, SIDE, SIDE)
    own, views = hashes_of(coefficients(pictures, SHAPES))
    by_hash, pairs = measured(lambda: near_pairs(own, DISTANCE, views))
    return {**took, "pairs": len(found.pairs), "hashes alone, core-seconds": by_hash["core-seconds"],
            "pairs by hashes": len(pairs)}


CASES = {"hashes": hashes, "made": made, "candidates": search, "groups": groups, "alike": alike}


def main() -> None:
    """Measure one case in a child, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[57_500, 1_000_000])
    parser.add_argument("--peer", type=int, default=20_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        found = CASES[chosen.child[0]](originals(chosen.data), int(chosen.child[1]))
        print(json.dumps({**found, "peak, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}))
        return
    sizes = {"hashes": [chosen.peer], "made": [1_000_000], "candidates": chosen.sizes, "groups": [57_504],
             "alike": [100_000]}
    with tempfile.TemporaryDirectory() as folder:
        data = chosen.data or (PHOTOS if PHOTOS.is_dir() else draw_dataset(Path(folder) / "drawn", size=GREY))
        for case in chosen.only:
            for n in sizes[case]:
                rows = [json.loads(subprocess.run([sys.executable, __file__, "--data", data, "--child", case, str(n)],
                                                  check=True, text=True, stdout=subprocess.PIPE).stdout)
                        for _ in range(chosen.repeats)]
                print(f"{case}, {n} photos, n = {len(rows)}: " + "; ".join(
                    f"{name} {spread([row[name] for row in rows])}" for name in rows[0]), flush=True)


def spread(values: list[float]) -> str:
    """Median (least to most), or the value where it is always the same."""
    median = f"{statistics.median(values):.4g}"
    return median if len(set(values)) == 1 else f"{median} ({min(values):.4g} to {max(values):.4g})"


if __name__ == "__main__":
    main()
