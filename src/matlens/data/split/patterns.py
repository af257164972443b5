"""Search a pattern of the user's in a process of its own: a few patterns would take longer than anybody can wait."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from matlens.errors import SettingsError

SECONDS = 20
"""How long the search may take; 57,500 paths take a usual pattern a tenth of a second."""

_PROGRAM = """
import json, re, sys
pattern, paths = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
except (re.error, RecursionError, OverflowError, MemoryError) as error:
    answer = {"error": str(error) or type(error).__name__}
else:
    found = ((path, compiled.search(path)) for path in paths)
    answer = {"groups": compiled.groups,
              "captured": {path: "\\0".join(text or "" for text in match.groups()) for path, match in found
                           if match and any(match.groups())}}
json.dump(answer, sys.stdout)
"""


@dataclass(frozen=True)
class Search:
    """What a pattern captures in each path in which it captures any text. groups: the number of its parentheses."""

    groups: int
    captured: dict[str, str]


def search(pattern: str, paths: Sequence[str]) -> Search | str:
    """Search a regular expression in each path. Returns why it is none, if it is none.

    Raises:
        SettingsError: the search does not end.
    """
    try:
        done = subprocess.run([sys.executable, "-I", "-S", "-c", _PROGRAM], input=json.dumps([pattern, list(paths)]),
                              capture_output=True, text=True, encoding="ascii", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SettingsError(f"--groups {pattern}: the search of this pattern in {len(paths)} paths was stopped after "
                            f"{SECONDS} seconds. Such patterns repeat what repeats itself, as (a+)+ does. Write it "
                            "without, or name a file of lines path,group.") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SettingsError(f"--groups {pattern}: the search of this pattern failed ({lines[-1]}). Write a simpler "
                            "one, or name a file of lines path,group.")
    answer = json.loads(done.stdout)
    return answer["error"] if "error" in answer else Search(answer["groups"], answer["captured"])
