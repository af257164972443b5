"""What matlens does on this machine's GPU, checked and timed against plain loops in the same call, in one table.

    python benchmarks/gpu.py [--only ROW ...] [--quick] [--data PHOTOS] [--out runs/gpu]

Under eight minutes on an NVIDIA card; nothing is downloaded. Photos are drawn (8 materials, 224 px), files of random
weights stand for the published ones, which changes no speed. Keras runs on the back end in KERAS_BACKEND, else on the
first of TensorFlow, PyTorch and JAX that is installed. Each row runs in a process of its own. The table is written to
OUT/gpu.md and OUT/gpu.json after each row, so that nothing is lost where the call is ended early; OUT/log has all that
the rows printed. A row that fails prints the last line of its error, and the next one begins. Without a card the rows
run on the CPU: that checks this program and measures nothing (`--quick --side 64`).

Peers: bare training steps of plain PyTorch (float32 with TF32; bfloat16, channels-last) without augmentation and
validation; Keras' own `fit` and `predict` on arrays in memory. matlens' figures are those of whole epochs, input and
augmentation included. Photos/s are medians with their spread; the first epoch, which prepares, does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_rows.card import card_facts
from gpu_rows.table import MARK, Line, markdown, write
from gpu_rows.work import SAID, Work, draw

BACKENDS = ("tensorflow", "torch", "jax")
PACKAGES = ("torch", "torchvision", "keras", "tensorflow", "jax", "openvino", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Row:
    """What one child process measures.

    job: module and function in `gpu_rows`. arguments: to the function, after the `Work`. limit: its seconds at most.
    """

    job: str
    arguments: tuple[str, ...]
    limit: int


ROWS = {
    "weights-keras": Row("work.make_keras_weights", (), 60),
    "weights-torch": Row("work.make_torch_weights", (), 40),
    "preflight-torch": Row("networks.preflight", ("inception_v1",), 40),
    "preflight-keras": Row("networks.preflight", ("vgg19_scratch",), 40),
    "kept-guide": Row("runs.kept", ("guide",), 150),
    "googlenet-64": Row("runs.googlenet", ("64",), 90),
    "frozen-keras": Row("networks.frozen", ("mobilenetv2_transfer",), 60),
    "frozen-torch": Row("networks.frozen", ("inception_v1",), 60),
    "steps-torch": Row("networks.steps", ("inception_v1",), 60),
    "steps-keras": Row("networks.steps", ("vgg19_scratch",), 60),
    "strong-torch": Row("networks.strong", ("inception_v1",), 60),
    "vgg19": Row("runs.vgg19", (), 120),
    "kept-strong": Row("runs.kept", ("strong",), 150),
    "googlenet-32": Row("runs.googlenet", ("32",), 90),
    "strong-keras": Row("networks.strong", ("vgg19_scratch",), 60),
    "parity-torch": Row("networks.parity", ("inception_v1",), 40),
    "parity-keras": Row("networks.parity", ("vgg19_scratch",), 60),
}
"""The rows by name, in their order: what matters most comes first. `weights-*` make files and print no line."""

COPIES = 8
"""Variations of each drawn photo."""

LEAST = 10
"""Seconds that must be left for a row to begin."""


def keras_backend() -> str:
    """Return the back end in KERAS_BACKEND, or the first that is installed; "" where none is."""
    chosen = os.environ.get("KERAS_BACKEND", "")
    return chosen or next((name for name in BACKENDS if importlib.util.find_spec(name)), "")


def facts_of(arguments: argparse.Namespace, backend: str) -> dict[str, str]:
    """Describe machine and call."""
    versions = []
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return {**card_facts(), "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, Python "
            f"{platform.python_version()}", "packages": ", ".join(versions), "Keras on": backend or "nothing",
            "call": f"gpu.py{' --quick' * arguments.quick}, photos of {arguments.side} px, "
            f"{arguments.data or f'{arguments.photos} drawn'}"}


def measure(name: str, work: Work, out: Path, limit: float, on_line: Callable[[Line], None]) -> str:
    """Run a row in a child, hand its lines on and print what else it prints. Returns "" or why it failed."""
    command = [sys.executable, __file__, "--here", name, "--work", work.to_json()]
    last, timed_out = "", threading.Event()
    with (out / "log").open("a", encoding="utf-8") as log, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True) as child:
        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(limit, lambda: (timed_out.set(), end()))
        timer.start()
        assert child.stdout is not None
        try:
            for text in child.stdout:
                if text.startswith(MARK):
                    on_line(Line(**json.loads(text.removeprefix(MARK))))
                    continue
                last = " ".join(text.split()) or last
                log.write(f"[{name}] {text}")
                log.flush()
                if text.startswith(SAID):
                    print(text.rstrip()[:220], flush=True)
            code = child.wait()
        finally:
            timer.cancel()
            end()
    if code == 0:
        return ""
    return f"ended after {limit:.0f} s, its limit" if code == -signal.SIGKILL and timed_out.is_set() else last[-400:]


def run_rows(names: list[str], work: Work, arguments: argparse.Namespace, facts: dict[str, str]) -> list[Line]:
    """Run rows until the time is used up, and write the table after each."""
    lines: list[Line] = []
    began = time.perf_counter()

    def add(line: Line) -> None:
        lines.append(line)
        write(arguments.out, lines, facts)
        print("  " + " | ".join(cell for cell in line.cells() if cell), flush=True)

    for name in names:
        left = arguments.limit - (time.perf_counter() - began)
        if left < LEAST:
            add(Line(name, note=f"left out: the {arguments.limit} s of this call are used up (--limit)"))
            continue
        started = time.perf_counter()
        print(f"== {name}", flush=True)
        # A row's own limit is for a card that hangs; a slow one may take what the others leave.
        limit = min(left, ROWS[name].limit * arguments.patience)
        failure = measure(name, dataclasses.replace(work, seconds=limit), arguments.out, limit, add)
        if failure:
            add(Line(name, note=f"failed: {failure}"))
        print(f"   {name}: {time.perf_counter() - started:.1f} s", flush=True)
    write(arguments.out, lines, facts)
    return lines


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help=f"of {', '.join(ROWS)}; or how they begin")
    parser.add_argument("--quick", action="store_true", help="fewer steps and photos: to see that all of it works")
    parser.add_argument("--data", type=Path, help="a folder of class folders, eight of them, in place of drawn photos")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--side", type=int, default=224, help="of the photos, in pixels")
    parser.add_argument("--photos", type=int, default=2560, help="how many photos are drawn for what is timed")
    parser.add_argument("--limit", type=int, default=460, help="seconds; rows that do not fit are left out")
    parser.add_argument("--patience", type=float, default=1, help="multiplies the limit in seconds of each single row")
    parser.add_argument("--keep", action="store_true", help="keep photos, weights and runs in OUT/work-*")
    parser.add_argument("--here", choices=list(ROWS), help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [start for start in arguments.only if not any(name.startswith(start) for name in ROWS)]
    if unknown:
        parser.error(f"no row begins with {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return arguments


def main() -> int:
    """Measure a row in a child, or all of them. Returns 1 where a row failed or a bound was not reached."""
    arguments = parsed()
    if arguments.here:
        row = ROWS[arguments.here]
        module, function = row.job.split(".")
        getattr(importlib.import_module(f"gpu_rows.{module}"), function)(Work.from_json(arguments.work), *row.arguments)
        return 0
    backend = keras_backend()
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    facts = facts_of(arguments, backend)
    for what, words in facts.items():
        print(f"{what}: {words}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "log").write_text("")
    folder = arguments.out.resolve() / f"work-{os.getpid()}"
    work = Work(arguments.data.resolve() if arguments.data else folder / "many", folder / "few", folder / "weights",
                folder, arguments.side, arguments.quick)
    work.weights.mkdir(parents=True)
    names = [name for name in ROWS if not arguments.only or name.startswith(("weights", *arguments.only))]
    try:
        started = time.perf_counter()
        if not arguments.data:
            draw(work.many, -(-arguments.photos // (8 * COPIES)), COPIES, work.side)
        draw(work.few, 4 if arguments.quick else 8, 4, work.side)
        print(f"drawing photos: {time.perf_counter() - started:.1f} s", flush=True)
        lines = run_rows(names, work, arguments, facts)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n" + markdown(lines, facts), flush=True)
    return int(any(line.reached is False or line.value is None for line in lines))


if __name__ == "__main__":
    sys.exit(main())
