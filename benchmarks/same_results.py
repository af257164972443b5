"""Whether two revisions of matlens give the same results: run the same jobs with both, and compare every figure.

    python benchmarks/same_results.py OLD NEW [--work DIR] [--jobs demo,guide,...] [--data DIR] [--weights-dir DIR]

OLD and NEW are anything that git knows, or folders that hold a checkout. Each job runs with --deterministic, a fixed
seed and a fresh cache. Compared are `<name>_predictions.npz`, every key that OLD writes into `<name>_results.json`, and
every column that OLD writes into `model_comparison.csv`; times, rates, memory and versions are left out. What a killed
call finished is not run again (`--work` keeps it). The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
MOBILENET = ("--models", "mobilenetv2_transfer")
TRASHNET = ("run", "--data", "{data}", "--protocol", "minc:1", "--weights-dir", "{weights}", *MOBILENET)
JOBS = {
    # `matlens demo` has no --deterministic: a run over the photos that it would draw, with its settings.
    "demo": ("run", "--data", "{work}/demo-photos", "--img-size", "36", "--batch-size", "32", "--epochs", "6",
             "--weights", "none", "--no-augment"),
    "guide": TRASHNET,
    "views": (*TRASHNET, "--views", "2"),
    "strong": (*TRASHNET, "--recipe", "strong", "--epochs", "3"),
    "finetune": (*TRASHNET, "--finetune-epochs", "1", "--epochs", "2"),
    "kfold": ("run", "--data", "{work}/demo-photos", "--protocol", "kfold:3", "--img-size", "64", "--epochs", "3",
              "--weights-dir", "{weights}", *MOBILENET),
}
IGNORED = {"seconds", "peak_rss_bytes", "versions", "resumed_at_epoch"}
RENAMED = {"precision": "arithmetic"}
"""Keys of results that have another name now."""
IGNORED_COLUMNS = {"training_seconds", "prediction_photos_per_second"}


def checkout(revision: str, work: Path) -> Path:
    """The folder of a revision's code: the one named, or a worktree made for it."""
    if (Path(revision) / "src" / "matlens").is_dir():
        return Path(revision).resolve()
    folder = work / "code" / revision.replace("/", "-")
    if not folder.exists():
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", folder, revision], check=True)
    return folder.resolve()


def matlens(code: Path, cache: Path, *arguments: str) -> None:
    """Run one command with the code of a revision."""
    subprocess.run([sys.executable, "-m", "matlens", *arguments], check=True, cwd=cache.parent, stdout=sys.stderr,
                   env={**os.environ, "PYTHONPATH": str(code / "src"), "MATLENS_CACHE": str(cache)})


def run_jobs(code: Path, out: Path, names: list[str], places: dict[str, str]) -> None:
    """Run each job that has not been finished yet."""
    for name in names:
        done = out / f"{name}.done"
        if done.exists():
            continue
        cache = out / f"{name}-cache"
        cache.mkdir(parents=True, exist_ok=True)
        matlens(code, cache, *(word.format(**places) for word in JOBS[name]), "--deterministic", "--seed", "42",
                "--quiet", "--out", str(out / name))
        done.touch()


def differences(old: Any, new: Any, place: str) -> Iterator[str]:
    """Where the values of two JSON files differ; what the new one alone has is passed over."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - IGNORED:
            name = key if key in new else RENAMED.get(key, key)
            if name not in new:
                yield f"{place}: {key} is gone"
            else:
                yield from differences(old[key], new[name], f"{place}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif old != new:
        yield f"{place}: {str(old)[:60]} was, {str(new)[:60]} is"


def compare_files(old: Path, new: Path) -> Iterator[str]:
    """What differs between two files of one name."""
    if not new.exists():
        yield f"{new} is missing"
    elif old.suffix == ".npz":
        with np.load(old, allow_pickle=False) as was, np.load(new, allow_pickle=False) as now:
            for key in was.files:
                if key not in now.files or not np.array_equal(was[key], now[key]):
                    yield f"{new.name}: {key} differs"
    elif old.suffix == ".json":
        yield from differences(json.loads(old.read_text()), json.loads(new.read_text()), new.name)
    else:
        with old.open() as first, new.open() as second:
            was, now = list(csv.DictReader(first)), list(csv.DictReader(second))
        if len(was) != len(now):
            yield f"{new.name}: {len(was)} rows, {len(now)} rows"
        for one, other in zip(was, now, strict=False):
            yield from (f"{new.name}: {key} {one[key]} was, {other.get(key)} is" for key in one
                        if key not in IGNORED_COLUMNS and one[key] != other.get(key))


def main() -> int:
    """Run both, compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "trashnet-2527")
    parser.add_argument("--weights-dir", type=Path, default=SHARED / "weights" / "keras")
    chosen = parser.parse_args()
    names = chosen.jobs.split(",")
    work = (chosen.work or Path(tempfile.mkdtemp(prefix="matlens-same-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    places = {"data": str(chosen.data.resolve()), "weights": str(chosen.weights_dir.resolve()), "work": str(work)}
    sides = []
    for revision, side in ((chosen.old, "old"), (chosen.new, "new")):
        code, out = checkout(revision, work), work / side
        out.mkdir(exist_ok=True)
        if not (work / "demo-photos").exists():
            matlens(code, out / "draw-cache", "data", "draw", str(work / "demo-photos"))
        print(f"{side}: {revision}", flush=True)
        run_jobs(code, out, names, places)
        sides.append(out)
    found, compared = [], 0
    for name in names:
        for pattern in ("*_predictions.npz", "*_results.json", "model_comparison.csv"):
            for old in sorted((sides[0] / name).rglob(pattern)):
                compared += 1
                found += [f"{name}: {what}" for what in compare_files(old, sides[1] / name / old.relative_to(
                    sides[0] / name))]
    print("\n".join(found) or f"the same: {compared} files of {len(names)} jobs")
    return 1 if found or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
