"""Where the time of a run goes, by stage and by core: a table, and a timeline as a picture.

    python benchmarks/profile_run.py [--picture timeline.svg] -- run PHOTOS --models mobilenetv2_transfer ...

What follows `--` are words of the command line. It runs in this process, in which a thread looks twenty times a second
at what the main thread does, and at the processor time of this process and of its children. A stage is the first of
`STAGES` that is under way; core-seconds are those of all threads and processes meanwhile, so work that goes on beside
a stage counts there.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

STAGES = {
    "hash_photos": "hash photos", "prepare_store": "decode photos",
    "hidden_among": "look for groups", "copies_among": "look for copies", "make_split": "divide",
    "pooled": "features", "activations": "activations", "_train_in_child": "train in a child",
    "fit": "train the head", "train_epoch": "train the head", "part_predictions": "predict",
    "test": "predict", "validation": "predict", "learn_novelty": "learn what is unknown",
    "save_figure": "draw", "draw": "draw", "explain_positions": "explain", "compare": "compare",
    "label_issues": "suspect labels", "write_report": "write the report", "judge": "judge", "start": "begin"}
"""Stages by the functions of matlens that do them; of those under way, the innermost that stands here counts."""

_EVERY = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """A moment. seconds: since the start. stage: what the main thread did. own, children: processor seconds so far."""

    seconds: float
    stage: str
    own: float
    children: float


def stage_of(frames: Sequence[tuple[str, str]]) -> str:
    """Name the stage of a stack of (file, function), the innermost first."""
    if frames and "importlib" in frames[0][0]:
        return "import"
    for file, function in frames:
        if "/matlens/" in file and function in STAGES:
            return STAGES[function]
    return "start, end and the rest"


def _of_children(process: int) -> float:
    """Return the processor seconds of the living descendants of a process; 0 where the system does not tell."""
    total = 0.0
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / _TICKS + _of_children(int(child))
    except (OSError, ValueError, IndexError):  # it ended meanwhile, or this is no Linux
        return total
    return total


class Sampler:
    """Looks at this process from a thread of its own, from when it is made."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._started, self._main, self._done = time.perf_counter(), threading.main_thread().ident, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.is_set():
            frame, frames = sys._current_frames().get(self._main or 0), []
            while frame is not None:
                frames.append((frame.f_code.co_filename, frame.f_code.co_name))
                frame = frame.f_back
            times = os.times()
            self.samples.append(Sample(
                time.perf_counter() - self._started, stage_of(frames), times.user + times.system,
                times.children_user + times.children_system + _of_children(os.getpid())))
            self._done.wait(_EVERY)

    def stop(self) -> list[Sample]:
        """End, and return what was seen."""
        self._done.set()
        self._thread.join()
        return self.samples


def table(samples: Sequence[Sample]) -> str:
    """Write seconds and core-seconds by stage, in the order in which they begin, as Markdown."""
    stages: dict[str, list[float]] = {}
    for sample, after in pairwise(samples):
        sums = stages.setdefault(sample.stage, [0.0, 0.0, 0.0])
        for place, value in enumerate((after.seconds - sample.seconds, after.own - sample.own,
                                       max(after.children - sample.children, 0))):
            sums[place] += value
    total = [sum(sums[place] for sums in stages.values()) for place in range(3)]
    lines = ["| stage | seconds | core-seconds here | in children |", "|---|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {stage} | {' | '.join(f'{value:.1f}' for value in sums)} |" for stage, sums in [
        *stages.items(), ("all", total)])])


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw the stages along the time, and above them how many cores were busy."""
    from matlens.system.figures import COLORS, new_figure, save_figure, style_axes

    names = list(dict.fromkeys(sample.stage for sample in samples))
    figure = new_figure(9, 2 + 0.28 * len(names), "A run by stage", "")
    busy, stages = figure.subplots(2, 1, sharex=True, height_ratios=(1, 0.3 * len(names)))
    step = max(1, int(0.5 / _EVERY))
    spans = list(zip(samples[::step], samples[step::step], strict=False))
    middle = [(first.seconds + last.seconds) / 2 for first, last in spans]
    for kind, color, label in ((1, COLORS[0], "this process and its children"), (0, COLORS[1], "this process")):
        busy.fill_between(middle, [((last.own - first.own) + kind * max(last.children - first.children, 0))
                                   / (last.seconds - first.seconds) for first, last in spans],
                          color=color, linewidth=0, label=label)
    style_axes(busy, "how many cores are busy", "", "Cores")
    busy.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    for row, name in enumerate(names):
        bars = [(sample.seconds, after.seconds - sample.seconds)
                for sample, after in pairwise(samples) if sample.stage == name]
        stages.broken_barh(bars, (row - 0.4, 0.8), color=COLORS[row % len(COLORS)])
    style_axes(stages, "what the main thread does", "Seconds")
    stages.set_yticks(range(len(names)), names)
    stages.invert_yaxis()
    save_figure(figure, path)


def main() -> None:
    """Run the command, and tell where its time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="a file for the timeline, such as timeline.svg")
    parser.add_argument("words", nargs="+", help="a command of matlens")
    chosen = parser.parse_args()
    sampler = Sampler()
    sys.argv = ["matlens", *chosen.words]
    try:
        from matlens.cli.main import main as command

        command()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        samples = sampler.stop()
    print(table(samples))
    if chosen.picture:
        draw(samples, chosen.picture)
        print(f"wrote {chosen.picture}")


if __name__ == "__main__":
    main()
