"""What one more backbone costs a run that is warm otherwise: processor seconds, against a run of that backbone alone.

    python benchmarks/bench_one_more.py PHOTOS FIRST[,MORE...] ANOTHER [options of matlens run]

PHOTOS is a folder of class folders; FIRST and ANOTHER are models. In a cache of its own it runs the first models cold
and again (warm), then with one more, then all of them again; last the other one alone in an empty cache. Each is a
process of its own, and its children's seconds count. A further backbone adds to a warm run what it costs alone, less
what a run costs anyway: decoding, the search for copies, the report.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def processor_seconds(command: list[str], cache: Path) -> float:
    """Return what a command and its children took. Raises SystemExit, with what it said, where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=os.environ | {"MATLENS_CACHE": str(cache)}, capture_output=True, text=True,
                          check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the five figures, and two differences that should be alike."""
    photos, first, another, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)

        def run(name: str, models: str, cache: str) -> float:
            seconds = processor_seconds([sys.executable, "-m", "matlens", "run", "--data", photos, "--models", models,
                                         "--out", str(here / name), *options], here / cache)
            print(f"{name:28} {seconds:6.1f} s", flush=True)
            return seconds

        run("first, cold", first, "kept")
        warm = run("first, warm", first, "kept")
        with_another = run("and another", f"{first},{another}", "kept")
        all_warm = run("and another, warm", f"{first},{another}", "kept")
        alone = run("another alone, cold", another, "empty")
    features = with_another - all_warm
    print(f"{'another adds':28} {with_another - warm:6.1f} s, of which its trunk and features {features:.1f} s")
    print(f"{'that is':28} {(with_another - warm) / alone:6.0%} of what it costs alone")


if __name__ == "__main__":
    main()
