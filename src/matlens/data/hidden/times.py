"""Propose groups from the times at which photos were taken: a burst shows one scene."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from matlens.data.hidden.names import Proposal

GAP = timedelta(seconds=3)
"""The most time between two shots of a burst."""

_LONGEST = 100
"""The most photos of a burst. More photos of one time were not taken at that time: some program wrote it."""

_TIME = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")


def taken_at(text: str) -> datetime | None:
    """Read EXIF's DateTimeOriginal, such as `2024:05:17 10:31:07`. Returns None of anything else."""
    match = _TIME.match(text)
    try:
        return datetime.strptime(match[0], "%Y:%m:%d %H:%M:%S") if match else None
    except ValueError:  # the 31st of February
        return None


def propose_from_times(classes: Mapping[str, str], time_of: Callable[[str], tuple[str, datetime] | None],
                       ) -> Proposal | None:
    """Return the bursts among photos: shots of one camera and one class, each at most three seconds after another.

    Args:
        classes: the class of each photo by its path.
        time_of: returns the camera and the time of a photo by its path, where its file states them.
    """
    shots = sorted((classes[path], *about, path) for path in classes if (about := time_of(path)) is not None)
    bursts: list[list[str]] = [[shot[3]] for shot in shots[:1]]
    for before, shot in pairwise(shots):
        if before[:2] == shot[:2] and shot[2] - before[2] <= GAP:
            bursts[-1].append(shot[3])
        else:
            bursts.append([shot[3]])
    groups = tuple(sorted(tuple(sorted(burst)) for burst in bursts if 1 < len(burst) <= _LONGEST))
    return Proposal(None, groups) if groups else None
