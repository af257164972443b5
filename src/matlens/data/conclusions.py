"""Entries of the cache that hold what was concluded from photos' contents: computed once, then read.

    <cache>/<kind>/<key>/<kind>.json   the conclusion, with the SHA-256 of itself and the CRC-32 of each array
    <cache>/<kind>/<key>/<name>.npy    arrays that a later search goes on from

A conclusion is what a run needs; where the cache cannot be written, the run goes on with it all the same.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from matlens.errors import CacheError
from matlens.system.caches import Say, opened_or_made, silent, whole_entry
from matlens.system.files import read_json, seal_of, write_json
from matlens.system.untrusted import UNREADABLE
from matlens.system.untrusted_arrays import map_array

_SEAL, _SUMS = "sha256", "checksums"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Conclusion:
    """What was concluded.

    content: plain JSON. arrays: by file name without ending, what later conclusions are drawn from. is_sound: whether
    everything could be read; otherwise nothing is kept, since another attempt may find more.
    """

    content: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    is_sound: bool = True


class _NotKeptError(Exception):
    """Ends the making of an entry that is not to be kept."""


def place_of(cache_dir: Path, kind: str, rules: str, digests: Iterable[str]) -> Path:
    """Return the folder of what is concluded by some rules from photos with these SHA-256, in whatever order."""
    key = hashlib.sha256("\n".join([rules, *sorted(digests)]).encode()).hexdigest()[:24]
    return cache_dir / kind / key


def concluded(folder: Path, what: str, conclude: Callable[[], Conclusion], read: Callable[[Mapping[str, Any]], Value],
              say: Say = silent) -> Value:
    """Return the conclusion in `folder`; or draw it, and keep it whole or not at all.

    Args:
        folder: from `place_of`.
        what: names the conclusion in messages, such as "the copies among photos".
        conclude: draws the conclusion. What it raises is raised here.
        read: returns what a conclusion's content says. Where it raises one of UNREADABLE, the entry was not written by
            matlens: the conclusion is drawn again.
        say: called with a message when another process is at it, or the conclusion cannot be kept.
    """
    drawn: list[Conclusion] = []

    def open_whole(folder: Path) -> Value | None:
        with suppress(*UNREADABLE):
            return None if (content := content_in(folder)) is None else read(content)
        return None

    def make() -> None:
        drawn.append(conclude())
        if not drawn[0].is_sound:
            raise _NotKeptError
        _write(folder, what, drawn[0])

    try:
        return opened_or_made(folder, what, open_whole, make, say)
    except _NotKeptError:
        pass
    except CacheError as error:
        if not drawn:
            raise
        say(f"{error} This run goes on; the next one looks for {what} again.")
    return read(drawn[0].content)


def _write(folder: Path, what: str, conclusion: Conclusion) -> None:
    with whole_entry(folder, what) as partial:
        sums = {}
        for name, array in conclusion.arrays.items():
            np.save(partial / f"{name}.npy", array)
            sums[name] = zlib.crc32(np.ascontiguousarray(array).data)
        content = {**conclusion.content, _SUMS: sums}
        write_json(partial / f"{folder.parent.name}.json", {**content, _SEAL: seal_of(content)})


def content_in(folder: Path) -> Mapping[str, Any] | None:
    """Return the content of a conclusion as it was written, or None if it is missing or damaged."""
    with suppress(*UNREADABLE):
        content: dict[str, Any] = read_json(folder / f"{folder.parent.name}.json")
        if content.pop(_SEAL) == seal_of(content):
            return content
    return None


def array_in(folder: Path, content: Mapping[str, Any], name: str, kind: npt.DTypeLike, width: int) -> npt.NDArray[Any]:
    """Map an array (N, width) of a conclusion with this content.

    Raises one of UNREADABLE if it is not as it was written, or not such an array.
    """
    array = map_array(folder / f"{name}.npy")
    if array.dtype != kind or array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"{name}.npy holds {array.dtype} of shape {array.shape}")
    if zlib.crc32(np.ascontiguousarray(array).data) != content[_SUMS][name]:
        raise ValueError(f"{name}.npy is damaged")
    return array
