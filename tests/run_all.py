"""Run the tests in three pytest processes, since one process loads one framework, and add up what they found.

    python tests/run_all.py [--quick] [pytest arguments]

Two processes run at once: most tests wait for one core. Each prints when it is done. They share the cores: the threads
of OpenMP wait for each other in a loop, and where they are more than the cores, a training takes three times as long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matlens.system.devices import usable_cores

GROUPS = {"keras": "keras", "without a framework": "not keras and not torch", "torch": "torch"}
"""The longest first."""

AT_ONCE = 2

THREADS = {"OMP_NUM_THREADS": str(max(1, usable_cores() // AT_ONCE)), **os.environ}
"""The environment, with a group's share of the cores unless it states another number."""


@dataclass(frozen=True)
class Found:
    """What one process found. ended_badly: with another code than that of failed tests, too."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    ended_badly: bool = False


def run_group(name: str, arguments: list[str], quick: bool) -> Found:
    """Run one group, and print what it printed."""
    marker = f"({GROUPS[name]}) and not slow" if quick else GROUPS[name]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", marker, f"--junitxml={report}", "-p", "no:cacheprovider"]
        done = subprocess.run([*command, *arguments], cwd=Path(__file__).parents[1], check=False, env=THREADS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        print(f"== tests: {name}\n{done.stdout}", flush=True)
        ended_badly = done.returncode not in (0, 5)  # 5: no test chosen, as with a file's name given
        if not report.exists():
            return Found(ended_badly=ended_badly)
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    return Found(int(suite.get("tests", 0)) - failed - skipped, failed, skipped, ended_badly)


def main() -> int:
    """Run each group; 0 if every one passed."""
    quick = "--quick" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--quick"]
    print(f"running {len(GROUPS)} groups of tests, {AT_ONCE} at a time: {', '.join(GROUPS)}", flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda name: run_group(name, arguments, quick), GROUPS))
    passed, failed, skipped = (sum(getattr(each, what) for each in found) for what in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed or any(each.ended_badly for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
