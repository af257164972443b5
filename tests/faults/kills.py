"""Kill a small run at random points and go on with it: it must end as one that was left alone.

    python tests/faults/kills.py [--kills 100] [--seed 0] [--job NAME]

Each run trains one small network, in turn of the Keras and of the PyTorch room, with --deterministic. SIGKILL goes to
the run itself, or (one in three) to the process that trains for it; then the same command is given again. What must
hold: results, predictions and weights are those of an uninterrupted run, bit for bit; no photo was changed; no file is
left that an uninterrupted run does not leave. --job kills one of the jobs of `kill_jobs` in place of these runs, or all
of those jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from kill_jobs import JOB_NAMES, Facts, KillJob, Stage, digest, facts_of, new_place, tree_hash

from matlens.data.drawn.synthetic import draw_dataset
from matlens.models.registry import file_stem

MODELS = ("mobilenetv2_transfer", "inception_v1")
EPOCHS = 5
_DIFFER = ("seconds", "peak_rss_bytes")
"""Of the results: what depends on the machine's other work."""


@dataclass(frozen=True)
class Left:
    """What a run leaves: results and hashes to compare, and the names of all files."""

    results: dict[str, object]
    predictions: str
    weights: dict[str, str]
    names: frozenset[str]

    @classmethod
    def of(cls, out: Path, model: str) -> Left:
        results = json.loads((out / "reports" / f"{file_stem(model)}_results.json").read_text())
        with np.load(out / "reports" / f"{file_stem(model)}_predictions.npz") as file:
            predictions = digest(b"".join(file[name].tobytes() for name in ("probabilities", "labels", "paths")))
        weights = {}
        with np.load(out / "models" / f"{file_stem(model)}.artifact" / "head.npz") as head:
            weights |= {name: digest(head[name].tobytes()) for name in head.files}
        weights["trunk"] = digest((out / "models" / f"{file_stem(model)}.artifact" / "trunk.bin").read_bytes())
        names = frozenset(str(path.relative_to(out)) for path in out.rglob("*"))
        return cls({key: value for key, value in results.items() if key not in _DIFFER}, predictions, weights, names)

    def differences(self, other: Left) -> list[str]:
        """What is not the same, in words."""
        found = [f"results: {key} {value!r} is not {other.results.get(key)!r}" for key, value in self.results.items()
                 if value != other.results.get(key)]
        found += [f"weights: {name}" for name, value in self.weights.items() if value != other.weights.get(name)]
        found += ["predictions"] * (self.predictions != other.predictions)
        return found + [f"file: {name}" for name in sorted(self.names ^ other.names)]


@dataclass
class Harness:
    """Photos, a cache and what uninterrupted runs leave, all below one folder."""

    folder: Path
    photos: Path = field(init=False)
    whole: dict[str, Left] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.photos = draw_dataset(self.folder / "photos", photos_per_class=16, size=40, seed=1,
                                   materials=("brick", "sky", "wood"))
        self._photos_hash = tree_hash(self.photos)

    def start(self, model: str, out: Path, *more: str) -> subprocess.Popen[str]:
        """Begin a run, or go on with it; `more` options win."""
        command = [sys.executable, "-m", "matlens", "run", "--data", self.photos, "--models", model,
                   "--weights", "none", "--alpha", "0.35", "--epochs", EPOCHS, "--img-size", "40",
                   "--batch-size", "8", "--deterministic", "--out", out, *more]
        # A shell starts what it runs in the background with SIGINT ignored, and a run leaves it so.
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                env={**os.environ, "MATLENS_CACHE": str(self.folder / "cache"),
                                     "OMP_NUM_THREADS": "1"})  # else they wait for each other where a core is busy

    def finish(self, model: str, out: Path) -> str:
        """The same to the end; what it printed."""
        with self.start(model, out) as process:
            said = process.communicate()[0]
        assert process.returncode == 0, said
        return said

    def prepare(self, model: str) -> None:
        """An uninterrupted run, twice: the cache is filled by the first, the second is timed."""
        for number in range(2):
            started, out = time.monotonic(), self.folder / f"whole-{model}-{number}"
            self.finish(model, out)
            self.seconds[model] = time.monotonic() - started
            left = Left.of(out, model)
            assert not (found := self.whole.setdefault(model, left).differences(left)), f"not deterministic: {found}"
            shutil.rmtree(out)

    def kill_and_go_on(self, model: str, rng: np.random.Generator) -> str:
        """One kill at a random moment; the epoch that was gone on with, in words. Raises AssertionError."""
        out = self.folder / "killed"
        with self.start(model, out) as process:
            kill_at = kill_within(self.seconds[model], process, rng)
        said = self.finish(model, out)
        found = Left.of(out, model).differences(self.whole[model])
        assert not found, f"killed after {kill_at:.2f} s: {found}"
        assert tree_hash(self.photos) == self._photos_hash, "a photo was changed"
        strays = [path for path in self.folder.rglob("*") if ".partial" in path.name]
        assert not strays, strays
        resumed = json.loads((out / "run.json").read_text())["resumed_at_epoch"].get(model)
        shutil.rmtree(out)
        return ("already trained" if "already trained" in said else "from the beginning" if resumed is None else
                f"from epoch {resumed}")


def kill_within(seconds: float, process: subprocess.Popen[str], rng: np.random.Generator) -> float:
    """Kill a process, or its first child, at a random moment unless it has ended. Returns the moment in seconds."""
    kill_at, spare_parent = rng.uniform(0, seconds), rng.random() < 1 / 3
    try:
        process.wait(kill_at)
    except subprocess.TimeoutExpired:
        children = children_of(process.pid)
        os.kill(children[0] if children and spare_parent else process.pid, signal.SIGKILL)
    process.communicate()
    return kill_at


def kill_and_compare(stage: Stage, job: KillJob, whole: Facts, seconds: float, rng: np.random.Generator) -> str:
    """Kill a job at a random moment, and give it again. Returns when, in words. Raises AssertionError."""
    with new_place(stage, job) as place:
        with job.start(place, stage.cache) as process:
            kill_at = kill_within(seconds, process, rng)
        job.finish(place, stage.cache)
        left = facts_of(place / job.out)
        found = sorted(name for name in left.keys() | whole.keys() if left.get(name) != whole.get(name))
        assert not found, f"killed after {kill_at:.2f} s: {found}"
        assert tree_hash(stage.photos) == stage.photos_hash, "a photo was changed"
        strays = [path for path in stage.folder.rglob("*") if path.name.endswith((".partial", ".lock", ".part"))]
        assert not strays, strays
        return "killed and gone on with" if process.returncode == -signal.SIGKILL else (
            "ended before" if process.returncode == 0 else "a child was killed")


def uninterrupted(stage: Stage, job: KillJob) -> tuple[Facts, float]:
    """Do a job twice, the first time to fill the cache. Returns what it leaves, and the seconds of the faster one.

    Raises AssertionError where it does not leave the same twice.
    """
    left, seconds = list[Facts](), float("inf")
    for _ in range(2):
        with new_place(stage, job) as place:
            started = time.monotonic()
            job.finish(place, stage.cache)
            seconds = min(seconds, time.monotonic() - started)
            left.append(facts_of(place / job.out))
    differ = [name for name in left[0].keys() | left[1].keys() if left[0].get(name) != left[1].get(name)]
    assert left[0] and not differ, f"not the same twice: {differ}"
    return left[0], seconds


def kill_jobs(names: Sequence[str], kills: int, rng: np.random.Generator) -> int:
    """Kill each of these jobs so often. Returns how many did not end as they should."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for name in names:
            job = stage.jobs()[name]()
            whole, seconds = uninterrupted(stage, job)
            print(f"{name}: {seconds:.1f} s uninterrupted, twice the same, {len(whole)} files", flush=True)
            failed = 0
            for number in range(kills):
                try:
                    outcome = kill_and_compare(stage, job, whole, seconds, rng)
                except AssertionError as error:
                    outcome, failed = f"FAILED: {error}", failed + 1
                print(f"{number + 1}/{kills} {name}: {outcome}", flush=True)
            print(f"{name}: {kills - failed} of {kills} ended as if they had not been killed", flush=True)
            failures += failed
    return failures


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], text=True, capture_output=True, check=False).stdout
    return [int(child) for child in found.split()]


def main() -> int:
    """Kill as often as asked; 0 if every run ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", choices=["all", *JOB_NAMES])
    options = parser.parse_args()
    if options.job is not None:
        names = JOB_NAMES if options.job == "all" else (options.job,)
        return 1 if kill_jobs(names, options.kills, np.random.default_rng(options.seed)) else 0
    rng, outcomes, failures = np.random.default_rng(options.seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder))
        for model in MODELS:
            harness.prepare(model)
            print(f"{model}: {harness.seconds[model]:.1f} s uninterrupted, twice the same", flush=True)
        for number in range(options.kills):
            model = MODELS[number % len(MODELS)]
            try:
                outcome = harness.kill_and_go_on(model, rng)
            except AssertionError as error:
                outcome = f"FAILED: {error}"
                failures.append(number)
                shutil.rmtree(harness.folder / "killed", ignore_errors=True)
            outcomes[outcome.partition(":")[0]] += 1
            print(f"{number + 1}/{options.kills} {model}: {outcome}", flush=True)
    print(f"{options.kills - len(failures)} of {options.kills} ended as if they had not been killed "
          f"({', '.join(f'{count} {what}' for what, count in sorted(outcomes.items()))})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
