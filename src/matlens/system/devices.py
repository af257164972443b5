"""The number of threads that are worth starting, and how they wait."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Count the cores that this process may use: those of its affinity, or a container's quota where that is lower.

    Frameworks know the affinity but not the quota (`docker run --cpus`), and their threads then wait for each other.

    Args:
        cgroup: the kernel's control group as files: cpu.max (version 2), or cpu/cpu.cfs_* (version 1).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        limit = int(quota) / int(period)  # without a limit: "max", or -1
    except (OSError, ValueError):
        return cores
    return max(1, min(cores, round(limit))) if limit > 0 else cores


def openmp_environment() -> dict[str, str]:
    """Return what the environment must say before OpenMP is loaded (with PyTorch), unless it says how threads wait.

    By default a thread of GNU's OpenMP that has nothing to do asks 300,000 times whether there is work before it
    sleeps. Where another process needs the cores, such as a second training or a browser, the threads that have work
    wait for it: on two cores beside one busy process, GoogLeNet trains on 15 photos a second so and on 26 with 3,000
    times; alone on 50 and 53 (python benchmarks/bench_busy_cores.py).
    """
    return {} if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() else {"GOMP_SPINCOUNT": "3000"}
