"""Give commands of matlens with models that have faults (`plugins/faulty_torch.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGIN = Path(__file__).parents[1] / "plugins" / "faulty_torch.py"
SIDE = 48


@dataclass(frozen=True)
class Shell:
    """Runs `matlens` in processes of its own, with a cache of its own."""

    cache: Path

    def __call__(self, *words: object, faults: bool = True, preflight: str = "", **environment: str,
                 ) -> subprocess.CompletedProcess[str]:
        """Give a command.

        faults: whether the models have theirs. preflight: what the GPU that there seems to be answers when it is tried.
        """
        variables = {**os.environ, "MATLENS_CACHE": str(self.cache), "MATLENS_PLUGINS": str(PLUGIN),
                     "MATLENS_TEST_FAULTS": "1" if faults else "", "MATLENS_TEST_PREFLIGHT": preflight, **environment}
        return subprocess.run([sys.executable, "-m", "matlens", *map(str, words)], text=True, capture_output=True,
                              env=variables, check=False, timeout=900)


def run_words(photos: Path, out: Path, models: str, *more: object) -> list[object]:
    """A run of one epoch from random weights."""
    return ["run", "--data", photos, "--models", models, *(more or ("--weights", "none")), "--epochs", 1, "--img-size",
            SIDE, "--batch-size", 16, "--out", out]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content
