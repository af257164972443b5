"""The memory that a process has used and may use, errors that tell of too little of it, and the GPUs."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from matlens.system.devices import usable_cores

LEAST_MEMORY = 250 << 20
"""The memory that a command without a framework needs; an audit of 240 small photos holds 190 MB."""

_LEAST_ADDRESSES, _OF_A_CORE = 850 << 20, 50 << 20
"""The addresses that such a command needs, and those of the threads that NumPy's and OpenCV's libraries start for each
core: with less, they crash or never end when they are loaded."""

_CGROUP = Path("/sys/fs/cgroup")

_NO_MEMORY = re.compile(r"cannot allocate memory|can't allocate memory|unable to allocate|failed to map segment|"
                        r"failed to allocate|bad[_ ]alloc|insufficient memory|out of memory|can't start new thread",
                        re.IGNORECASE)
"""The words in which the system's loader, NumPy, OpenCV, C++ and the frameworks report too little memory."""

MORE_MEMORY = ("End other programs that hold memory, or allow this one more (ulimit -v unlimited, docker run "
               "--memory). A training needs less with --batch-size auto or a smaller --img-size.")
"""What to do where memory is short."""


def peak_rss_bytes() -> int | None:
    """Return the most memory that this process has held so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def allowed_addresses() -> int | None:
    """Return the bytes of addresses that this process may take (`ulimit -v`); None where there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def allowed_memory(cgroup: Path = _CGROUP) -> int | None:
    """Return the bytes of memory that a container allows this process; None where there is no limit.

    Args:
        cgroup: the kernel's control group as files: memory.max (version 2), or memory/memory.limit_in_bytes.
    """
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((cgroup / name).read_text())
        except (OSError, ValueError):  # no such version; or "max", for no limit
            continue
    return None


def available_memory(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not tell.

    Args:
        cgroup: see `allowed_memory`; what is in use is memory.current, or memory/memory.usage_in_bytes.
        meminfo: what Linux says of the machine's memory.
    """
    free: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError):  # no Linux
        free += [1024 * int(line.split()[1]) for line in meminfo.read_text().splitlines()
                 if line.startswith("MemAvailable:")]
    if (allowed := allowed_memory(cgroup)) is not None and allowed < 1 << 50:
        for name in ("memory.current", "memory/memory.usage_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # no such version
                free.append(max(0, allowed - int((cgroup / name).read_text())))
    return min(free, default=None)


def too_little_memory() -> str | None:
    """Say which limit is below what every command needs; None where there is none."""
    addresses = _LEAST_ADDRESSES + _OF_A_CORE * usable_cores()
    for limit, least, name in ((allowed_addresses(), addresses, "a limit on its addresses, ulimit -v"),
                               (allowed_memory(), LEAST_MEMORY, "the memory of its container")):
        if limit is not None and limit < least:
            return (f"matlens may use {limit / 1e6:,.0f} MB of memory here ({name}), and needs at least "
                    f"{least / 1e6:,.0f} MB. {MORE_MEMORY}")
    return None


def is_want_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that it follows from, tells of too little memory."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which is no RuntimeError
            return True
        if isinstance(error, ImportError | RuntimeError | OSError | SystemError) and _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def of_limit() -> str:
    """Say, in parentheses, which limit on memory there is; "" where there is none."""
    limits = [limit for limit in (allowed_addresses(), allowed_memory()) if limit is not None and limit < 1 << 50]
    return f" (its limit is {min(limits) / 1e6:,.0f} MB)" if limits else ""


def has_nvidia_gpu() -> bool:
    """Return whether there is an NVIDIA GPU that this process may use. Imports no framework."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1") and bool(listed_nvidia_gpus())


def listed_nvidia_gpus() -> list[str]:
    """Return the lines of `nvidia-smi -L`, one for each GPU of the machine; [] where there are none, or no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in listing.stdout.splitlines() if line.startswith("GPU ")] if listing.returncode == 0 else []
