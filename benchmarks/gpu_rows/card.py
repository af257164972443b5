"""The card as nvidia-smi describes it, and how busy it is."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time

_EACH_MS = 200


def card_facts() -> dict[str, str]:
    """Return name, memory, compute capability and driver of the cards; says so where there is none."""
    if shutil.which("nvidia-smi") is None:
        return {"card": "none (no nvidia-smi)"}
    done = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total,compute_cap,driver_version",
                           "--format=csv,noheader"], capture_output=True, text=True, check=False)
    cards = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not cards:
        return {"card": f"none ({' '.join((done.stderr or done.stdout).split())[:200]})"}
    return {"card": "; ".join(cards) + " (name, memory, compute capability, driver)"}


class Utilisation:
    """Samples the first card's utilisation in percent, five times a second, in a thread."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []
        """(time.perf_counter(), percent)."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Utilisation:
        if shutil.which("nvidia-smi"):
            self._process = subprocess.Popen(
                ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
                 f"--loop-ms={_EACH_MS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit():
                self.samples.append((time.perf_counter(), float(line)))

    def between(self, start: float, end: float) -> tuple[float, float] | None:
        """Return (mean, highest) in percent between two readings of time.perf_counter(); None without samples."""
        percents = [percent for when, percent in self.samples if start <= when <= end]
        return (sum(percents) / len(percents), max(percents)) if percents else None
