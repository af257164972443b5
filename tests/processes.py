"""What the processes that tests begin are given. Nothing here imports a framework."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
"""The command line in a process of its own: the fixture `cli`."""

GPU_TESTS_ON = os.environ.get("MATLENS_GPU_TESTS_ON", "cuda")
"""The device of the tests marked `gpu`; "cpu" runs them without a card, which checks the tests themselves."""


def without(*packages: str) -> dict[str, str]:
    """Return what the environment of a process must say that is not to find some packages."""
    places = [str(Path(__file__).with_name("without")), *filter(None, sys.path)]
    return {"WITHOUT": ",".join(packages), "PYTHONPATH": os.pathsep.join(places)}
