"""What follows after decoding, for a thousand to a million records: seconds and memory by stage.

    python benchmarks/bench_records.py [--sizes 1000 10000 57500] [--full] [--width 256] [--work DIR] [--save FILE]
                                       [--draw FILE]

Records are hashes and features that are made and not decoded (`made_records.py`), of 23 classes, one in twenty in a
group of four that stays together. Two models: the guide's head (one epoch) and the linear head of the recipe `probe`
(one view). Each size runs in a process of its own, through the functions that `matlens run` calls: dividing (also
writing and reading the manifest), training, predicting, judging with all pictures, comparing, looking for wrong labels,
galleries (of noise) and the page. `--full` goes on to 100,000 and 1,000,000.

Memory is the anonymous and shared-memory pages of the process and its children, looked at every 0.05 s (Linux only):
mapped files are left out, since the system takes their pages back when it needs them. The harness' own records are in
it. With `--save` the figures are kept as JSON, from which `plan_scale.py` reckons larger sizes, and with `--draw` they
are drawn. `--draw` alone draws what `--save` names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_growth import unmapped_bytes
from made_records import SIDE, MadeTrunk, Records, make_noise_gallery

from matlens.system.files import write_json

SIZES, MORE_SIZES = [1_000, 10_000, 57_500], [100_000, 1_000_000]
MODELS = ("mobilenetv2_transfer", "resnet50_transfer")
EPOCHS, BETWEEN = 1, "between"
MEASURED = ("divide", "begin", "open", "train, guide", "train, probe", "predict", "judge", "compare", "labels",
            "galleries", "page")
"""The stages in their order; what the harness does before and between them is not among them."""


def whole_run(records: Records) -> None:
    """In a child: each stage, announced to the parent by a line at its beginning and its end."""
    from matlens.comparison.displays import draw_differences
    from matlens.comparison.table import compare
    from matlens.data.split.splits import make_split
    from matlens.evaluation.judge import evaluate
    from matlens.evaluation.label_quality import label_issues
    from matlens.jobs.run import judged_in, predictions_in
    from matlens.report.page import write_report
    from matlens.runs.run import Run
    from matlens.settings.schema import Settings
    from matlens.system.console import Reporter
    from matlens.training.stages.head_on_features import HeadOnFeatures
    from matlens.training.stages.linear_head import LinearHead

    source, quiet, out = records.source(), Reporter(quiet=True), records.folder / "run"
    hashes, together = records.hashes(source), records.groups(source)
    settings = Settings.load(options={
        "data_dir": source.root, "img_size": SIDE, "models": ",".join(MODELS), "views": 1,
        "cache_dir": records.folder / "cache", "weights": "none"})
    with stage("divide"):
        split = make_split(source, "random", hashes, {}, together=together)
    del hashes, together
    with stage("begin"):
        Run.begin(out, settings, source.root, split)
    keys = [records.write_features(split, model, number) for number, model in enumerate(MODELS)]
    del split, source
    with stage("open"):
        run = Run.open(out)
    run = replace(run, settings=run.settings.model_copy(update={"cache_dir": records.folder / "cache"}))
    trunks = [MadeTrunk(run, records, model, key, quiet) for model, key in zip(MODELS, keys, strict=True)]
    with stage("train, guide"):
        trunks[0].train(HeadOnFeatures(EPOCHS))
    with stage("train, probe"):
        trunks[1].train(LinearHead(1))
    with stage("predict"):
        for trunk in trunks:
            for part in ("test", "val"):
                trunk.predict(part)
    with stage("judge"):
        for model in MODELS:
            evaluate(run, model, every_picture=True)
    with stage("compare"):
        comparison = compare(judged_in(run), predictions=predictions_in([run]), validation=predictions_in([run], "val"))
        comparison.write(run.paths.reports)
        draw_differences(comparison, run.paths.reports)
    with stage("labels"):
        label_issues([run]).write(run.paths.label_issues_file)
    with stage("galleries"):
        for model in MODELS:
            make_noise_gallery(run, model)
    with stage("page"):
        write_report(run.path, comparison=comparison)
    files = [path for path in run.path.rglob("*") if path.is_file()]
    tell(page=(run.path / "report.html").stat().st_size,
         **{kind: max((path.stat().st_size, path.name) for path in files if path.suffix == f".{kind}")
            for kind in ("json", "npz")},
         accuracy=[results.accuracy for results in judged_in(run)])


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Announce a stage, and what it took."""
    tell(begin=name)
    started, before = time.perf_counter(), os.times()
    yield
    after = os.times()  # of this process and of children that have ended: these wait for no other program
    tell(end=name, seconds=time.perf_counter() - started, cpu=sum(after[:4]) - sum(before[:4]))


def tell(**facts: Any) -> None:
    """Say something to the parent."""
    print(json.dumps(facts), flush=True)


def measure(n: int, width: int, work: Path) -> dict[str, Any]:
    """Run one size in a process of its own; its facts, and `seconds` and `peak` bytes by stage."""
    facts: dict[str, Any] = {"n": n, "width": width, "models": len(MODELS), "seconds": {}, "cpu": {}, "peak": {}}
    with tempfile.TemporaryDirectory(dir=work) as folder, subprocess.Popen(
            [sys.executable, __file__, "--child", str(n), "--width", str(width), "--work", folder], text=True,
            stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        now = [BETWEEN]

        def watch() -> None:
            while child.poll() is None:
                facts["peak"][now[0]] = max(facts["peak"].get(now[0], 0), unmapped_bytes(child.pid))
                time.sleep(0.05)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for line in child.stdout:
            said = json.loads(line)
            now[0] = said.pop("begin", now[0])
            if "end" in said:
                name = said.pop("end")
                facts["seconds"][name], facts["cpu"][name] = said.pop("seconds"), said.pop("cpu")
                print(f"  {name:<14} {facts['seconds'][name]:9.2f} s {facts['cpu'][name]:9.2f} s of the processors "
                      f"{facts['peak'].get(name, 0) / 1e9:6.2f} GB", file=sys.stderr, flush=True)
                now[0] = BETWEEN
            facts |= said
        watcher.join()
        if child.wait():
            sys.exit(f"{n} records: the measured process ended with {child.returncode}")
    return facts


def table(found: list[dict[str, Any]]) -> str:
    """Seconds of the processors and GB by stage, two columns for each size."""
    def cells(seconds: float | None, peak: float) -> str:
        return f"{'not measured':>23}" if seconds is None else f"{seconds:12.2f} s {peak / 1e9:5.2f} GB"

    lines = [f"{'records':<14}" + "".join(f"{facts['n']:>23,}" for facts in found)]
    lines += [f"{name:<14}" + "".join(cells(facts["cpu"].get(name), facts["peak"].get(name, 0)) for facts in found)
              for name in MEASURED]
    lines.append(f"{'all':<14}" + "".join(cells(sum(facts["cpu"].values()), max(
        peak for name, peak in facts["peak"].items() if name != BETWEEN)) for facts in found))
    for facts in found:
        files = "; ".join(f"largest {kind} {size / 1e6:.1f} MB ({name})"
                          for kind in ("json", "npz") for size, name in [facts[kind]])
        lines.append(f"{facts['n']:,} records: {sum(facts['seconds'].values()):.0f} s on the clock; page "
                     f"{facts['page'] / 1e6:.1f} MB; {files}")
    return "\n".join(lines)


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory against the number of records, a line for each stage."""
    from matlens.system.figures import COLORS, INK, MUTED, new_figure, save_figure, style_axes

    figure = new_figure(10.5, 4.4, "Growth", "")
    sizes = [facts["n"] for facts in found]
    marks = "os^Dv<>PX*h"
    for axes, (key, scale, words, limits) in zip(figure.subplots(1, 2), (
            ("cpu", 1, "Seconds of the processors", {}),
            ("peak", 1e9, "Anonymous memory, GB", {57_500: 1.0, 1_000_000: 4.0})), strict=True):
        style_axes(axes, "one line for each stage", "Records", words)
        for number, name in enumerate(MEASURED):
            axes.plot(sizes, [facts[key].get(name, float("nan")) / scale for facts in found], marker=marks[number],
                      markersize=4, color=COLORS[number % len(COLORS)], label=name, linewidth=1.4,
                      linestyle="--" if number >= len(COLORS) else "-")
        axes.set(xscale="log", yscale="log")
        for n, limit in limits.items():
            axes.plot(n, limit, "_", color=INK, markersize=22, markeredgewidth=2)
            axes.annotate(f"limit {limit:g} GB", (n, limit), textcoords="offset points", xytext=(0, 5), ha="center",
                          fontsize=8, color=MUTED)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    save_figure(figure, path)


def main() -> None:
    """Measure in a child, or every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        whole_run(Records(chosen.child, chosen.width, chosen.work))
        return
    sizes = chosen.sizes or SIZES + MORE_SIZES * chosen.full
    with tempfile.TemporaryDirectory() as folder:
        found = json.loads(chosen.save.read_text("utf-8")) if chosen.save and chosen.save.exists() else []
        for n in [] if chosen.draw and not chosen.sizes else sizes:
            found = [facts for facts in found if facts["n"] != n]
            found.append(measure(n, chosen.width, chosen.work or Path(folder)))
            found.sort(key=lambda facts: int(facts["n"]))
            if chosen.save:
                write_json(chosen.save, found)
    print(table(found))
    if chosen.draw:
        draw(found, chosen.draw)


if __name__ == "__main__":
    main()
