"""Run the tests in three pytest processes, since one process loads one framework, and add up what they found.

    python tests/run_all.py [--quick] [pytest arguments]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

GROUPS = {"without a framework": "not keras and not torch", "keras": "keras", "torch": "torch"}


def main() -> int:
    """Run each group; 0 if every one passed."""
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    arguments = [argument for argument in arguments if argument != "--quick"]
    passed = failed = skipped = 0
    ended_badly = False
    with tempfile.TemporaryDirectory() as folder:
        for name, marker in GROUPS.items():
            print(f"== tests: {name}", flush=True)
            report = Path(folder) / f"{name}.xml"
            code = subprocess.call([
                sys.executable, "-m", "pytest", "-m", f"({marker}) and not slow" if quick else marker,
                f"--junitxml={report}", "-p", "no:cacheprovider", *arguments], cwd=Path(__file__).parents[1])
            ended_badly |= code not in (0, 5)  # 5: no test chosen, as with a file's name given
            if report.exists():
                suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
                bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                left_out = int(suite.get("skipped", 0))
                passed += int(suite.get("tests", 0)) - bad - left_out
                failed, skipped = failed + bad, skipped + left_out
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if ended_badly or failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
