"""How time and memory grow with the number of photos, against the guide's cache of all of them in memory.

    python benchmarks/bench_growth.py [--sizes 1000 5000] [--full] [--copies] [--data DIR] [--work DIR] [--repeats 3]

`--full` goes on to 20,000 and 57,500 photos (MINC-2500), which takes some 12 GB of disk. Photos are made of those of
`--data` in turn, each cut, turned and encoded anew: the first ones look different, of 57,500 some look alike. With
`--copies` they are encoded anew only, so each photo has many near-duplicates: the worst case for the search for them.
`--work` keeps them for the next time. Each repeat runs in a process of its own with an empty cache: the audit; reading
and hashing; decoding into the store; looking for copies; dividing; and one pass over the store in shuffled batches of
64.

Peak memory is that of the process and its children, looked at every 0.1 s: anonymous and shared-memory pages. Pages of
mapped files are left out, since the system takes them back when it needs them. The peer is arithmetic: `.cache()` of
float32 photos of 224 px. Medians and spread. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from matlens.data.audit.audit import audit
from matlens.data.batches import part_batches
from matlens.data.drawn.synthetic import draw_dataset
from matlens.data.pixels.decode import resize
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import hash_photos, prepare_store
from matlens.data.prepare import copies_among
from matlens.data.source.sources import PARTS, open_source
from matlens.data.split.splits import make_split
from matlens.system.console import Reporter
from matlens.system.files import whole_folder
from matlens.types import Pixels

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "trashnet-2527"
SIZES, MORE_SIZES = [1_000, 5_000], [20_000, 57_500]
SIZE, BATCH, SEED = (224, 224), 64, 42
STORED = SIZE[0] * SIZE[1] * 3
CACHED = 4 * STORED
"""Bytes of a photo in the store, and in the guide's cache."""

STAGES = ("audit", "hash", "store", "copies", "split", "pass")


@dataclass(frozen=True)
class Growth:
    """What one repeat took: seconds by stage, and bytes at its peak."""

    seconds: dict[str, float]
    peak: int


def distinct_photos(data: Path, folder: Path, n: int, copies: bool) -> Path:
    """`n` photos of distinct content in class folders, made of those in `data`; kept if they are there."""
    if not folder.exists():
        source = open_source(data)
        originals = random.Random(SEED).sample(source.photos, len(source.photos))  # so that few are of all classes, too
        with whole_folder(folder) as partial, ThreadPoolExecutor() as pool:
            for name in source.class_names:
                (partial / name).mkdir()

            def write(number: int) -> None:
                photo = originals[number % len(originals)]
                pixels, rng = PhotoReader().read(source.root / photo.path), np.random.default_rng([SEED, number])
                quality = int(rng.integers(70, 96))
                if not copies:
                    pixels = cut_and_turned(pixels, rng)
                jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality)
                # A comment segment (marker, its length with these two bytes, the number): no two files are the same.
                comment = b"\xff\xfe\x00\x06" + number.to_bytes(4, "big")
                (partial / photo.class_name / f"{number:06d}.jpg").write_bytes(jpeg[:2] + comment + jpeg[2:])

            for _ in pool.map(write, range(n)):
                pass
    return folder


def cut_and_turned(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A cut of 60 to 90 % of each side, turned by quarters and perhaps mirrored, in the size of the photo."""
    height, width = pixels.shape[:2]
    high, wide = (int(side * rng.uniform(0.6, 0.9)) for side in (height, width))
    top, left = (int(rng.integers(free + 1)) for free in (height - high, width - wide))
    cut = np.rot90(pixels[top:top + high, left:left + wide], int(rng.integers(4)))
    return resize(cut[:, ::-1] if rng.random() < 0.5 else cut, (height, width))


def prepare_and_pass(data: Path, cache: Path) -> dict[str, float]:
    """In a child: seconds of each stage."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - started

    source, quiet = open_source(data), Reporter(quiet=True)
    with timed("audit"):
        found = audit(source)
    with timed("hash"):
        hashes, problems = hash_photos(source.root, [photo.path for photo in source.photos])
    with timed("store"):
        store = prepare_store(source.root, hashes, SIZE, cache)
    assert len(store.rows) == len(source.photos), "not every photo was distinct"
    with timed("copies"):
        together = copies_among(hashes, lambda digest: store.photo(store.rows[digest]), quiet)
    with timed("split"):
        split = make_split(source, "random", hashes, problems, seed=SEED, together=together)
    with timed("pass"):
        for part in PARTS:
            for _ in part_batches(split, part, store, BATCH, seed=SEED, shuffle=True):
                pass
    print(f"{len(source.photos)} photos: {len(found.of('near_duplicate'))} groups of near-duplicates by the audit, "
          f"{len(together)} kept together", file=sys.stderr)
    return seconds


def unmapped_bytes(pid: int) -> int:
    """Anonymous and shared-memory pages of a process and its children; 0 for one that has ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = sum(int(status[field].split()[0]) * 1024 for field in ("RssAnon", "RssShmem") if field in status)
    return own + sum(unmapped_bytes(int(child)) for child in children)


def repeat(data: Path, work: Path) -> Growth:
    """One repeat in a process of its own, watched meanwhile."""
    peak = 0
    with tempfile.TemporaryDirectory(dir=work) as cache, subprocess.Popen(
            [sys.executable, __file__, "--child", data, "--work", cache], text=True, stdout=subprocess.PIPE) as child:
        while child.poll() is None:
            peak = max(peak, unmapped_bytes(child.pid))
            time.sleep(0.1)
        if child.returncode or child.stdout is None:
            sys.exit(f"{data}: the measured process ended with {child.returncode}")
        return Growth(json.loads(child.stdout.read()), peak)


def measure(data: Path, work: Path, sizes: list[int], repeats: int, copies: bool) -> None:
    """Every size, as a table."""
    print(f"{'photos':>7} " + " ".join(f"{stage + ', s':>23} {'photos/s':>8}" for stage in STAGES)
          + f" {'peak, GB':>20}")
    medians: dict[int, tuple[float, float]] = {}
    for n in sizes:
        found = [repeat(distinct_photos(data, made_folder(work, n, copies), n, copies), work) for _ in range(repeats)]
        cells = []
        for stage in STAGES:
            seconds = [growth.seconds[stage] for growth in found]
            cells.append(f"{spread(seconds):>23} {n / statistics.median(seconds):8.0f}")
        peaks = [growth.peak / 1e9 for growth in found]
        medians[n] = statistics.median(sum(growth.seconds.values()) for growth in found), statistics.median(peaks)
        print(f"{n:7d} " + " ".join(cells) + f" {spread(peaks):>20}", flush=True)
    print(f"n = {repeats} runs of each size: median (least to most)")
    for n, (seconds, peak) in medians.items():
        cached = n * CACHED / 1e9
        print(f"{n:7d} photos: {seconds / n * 1e3:.2f} ms a photo; {peak:.2f} GB, {cached / peak:.1f} times less than "
              f"the {cached:.1f} GB of the guide's cache")
    if len(medians) > 1:
        (least, (seconds, peak)), (most, (more_seconds, more_peak)) = min(medians.items()), max(medians.items())
        print(f"from {least} to {most} photos: time a photo x {more_seconds / most / (seconds / least):.2f}, memory "
              f"{(more_peak - peak) * 1e6 / (most - least):+.1f} kB a photo (the guide's cache: {CACHED / 1e3:.0f} kB)")


def made_folder(work: Path, n: int, copies: bool) -> Path:
    """Where the photos are kept."""
    return work / f"{'copies' if copies else 'photos'}-{n}"


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure in a child, or every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--copies", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(prepare_and_pass(chosen.child, chosen.work)))
        return
    sizes = chosen.sizes or SIZES + MORE_SIZES * chosen.full
    with tempfile.TemporaryDirectory() as folder:
        work = chosen.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        data = chosen.data or (PHOTOS if PHOTOS.is_dir() else draw_dataset(Path(folder) / "drawn", size=362))
        source = open_source(data)
        mean = sum((source.root / photo.path).stat().st_size for photo in source.photos) / len(source.photos)
        needed = max(sizes) * STORED * 1.1 + sum(
            n * (mean + 4096) for n in sizes if not made_folder(work, n, chosen.copies).exists())
        if needed > (free := shutil.disk_usage(work).free):
            parser.error(f"{needed / 1e9:.1f} GB are needed in {work}, and {free / 1e9:.1f} GB are free: name another "
                         "folder with --work, or smaller --sizes")
        measure(data, work, sizes, chosen.repeats, chosen.copies)


if __name__ == "__main__":
    main()
