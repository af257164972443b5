"""Look for hidden groups among photos on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matlens.data.hidden.cameras import Shot, shots_of
from matlens.data.hidden.find import HiddenGroups, hidden_groups
from matlens.data.hidden.looks import describe
from matlens.system.console import Reporter
from matlens.types import Array, Pixels


def hidden_among(root: Path, classes: Mapping[str, str], read: Callable[[str], Pixels | None], reporter: Reporter,
                 shots: Callable[[], Mapping[str, Shot]] | None = None) -> list[HiddenGroups]:
    """Return what names and times suggest and the photos' looks bear out, the surest first.

    Args:
        root: the dataset's root.
        classes: the class of each photo by its path relative to the root.
        read: returns the pixels, (H, W, 3) uint8, of the photo with such a path, or None. Called only if names or times
            suggest groups.
        shots: returns the shots of the photos with such paths; None: they are read from the files.
    """
    def described(paths: Sequence[str]) -> dict[str, Array]:
        descriptions = {}
        with reporter.progress("looking for photos of one object", len(paths)) as advance:
            for done, path in enumerate(paths, 1):
                if (pixels := read(path)) is not None:
                    descriptions[path] = describe(pixels)
                advance(done, "")
        return descriptions

    of = shots_of(root, sorted(classes)) if shots is None else shots()
    return hidden_groups(classes, described, of.get)
