"""Two revisions of matlens against each other, in turn: help, and the main job with cold and with warm caches.

    python benchmarks/bench_revisions.py OLD NEW [--repeats 3] [--data DIR] [--weights-dir DIR]

OLD and NEW are anything that git knows, or folders that hold a checkout. The job is that of `bench_job.py`: MobileNetV2
by transfer, from photos to report, 4 epochs, from the start of Python on. Prints medians, and the ratio NEW / OLD pair
by pair.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from same_results import MOBILENET, SHARED, checkout, matlens


def main() -> None:
    """Time both, pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "trashnet-2527")
    parser.add_argument("--weights-dir", type=Path, default=SHARED / "weights" / "keras")
    chosen = parser.parse_args()
    job = ("run", "--data", str(chosen.data.resolve()), "--protocol", "minc:1", *MOBILENET, "--weights-dir",
           str(chosen.weights_dir.resolve()), "--quiet")
    with tempfile.TemporaryDirectory(prefix="matlens-revisions-") as folder:
        work = Path(folder)
        codes = {side: checkout(revision, work) for side, revision in (("old", chosen.old), ("new", chosen.new))}

        def compare(what: str, repeats: int, arguments: Callable[[str, int], tuple[str, ...]], cache: str) -> None:
            seconds: dict[str, list[float]] = {"old": [], "new": []}
            for number in range(repeats):
                for side, code in codes.items():
                    place = work / cache.format(side=side, number=number)
                    place.mkdir(parents=True, exist_ok=True)
                    started = time.perf_counter()
                    matlens(code, place, *arguments(side, number))
                    seconds[side].append(time.perf_counter() - started)
            ratios = [new / old for old, new in zip(seconds["old"], seconds["new"], strict=True)]
            shown = ", ".join(f"{side} {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
                              for side, values in seconds.items())
            print(f"{what:<24} {shown}, new / old {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
                  f"{max(ratios):.2f}), n = {repeats}", flush=True)

        for words in (("--help",), ("run", "--help")):
            compare(f"matlens {' '.join(words)}", 5 * chosen.repeats, lambda side, number, words=words: words, "help")
        compare("run, cold caches", chosen.repeats,
                lambda side, number: (*job, "--seed", str(42 + number), "--out", str(work / f"{side}-cold-{number}")),
                "{side}-cache-{number}")
        compare("run, warm caches", chosen.repeats,
                lambda side, number: (*job, "--seed", str(52 + number), "--out", str(work / f"{side}-warm-{number}")),
                "{side}-cache-0")


if __name__ == "__main__":
    main()
