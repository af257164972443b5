"""Find copies among photos that are known by their content, and keep in the cache what was found.

    <cache>/copies/<key>/copies.json      the groups, by SHA-256
                         digests.npy      (N, 32) uint8, the SHA-256 of each photo, sorted
                         signatures.npy   (N, 1024) uint8
                         compared.npy     (P, 4) int64, the pairs that were compared (`duplicates.Verdicts`)

The key is the photos' contents, how they were decoded, and the rules of the search. Where a search of other photos was
kept that has many in common with these, only new photos are read, and no pair is compared a second time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.conclusions import Conclusion, array_in, concluded, content_in, place_of
from matlens.data.split.duplicates import Verdicts, find_copies
from matlens.data.split.signatures import SIDE, signature_of
from matlens.system.caches import Say, silent
from matlens.system.untrusted import UNREADABLE
from matlens.types import Labels, Pixels, Progress

_RULES = 2
"""Part of the key: a change of `signatures`, `candidates`, `duplicates` or `alignment` that may change an outcome must
raise it."""

_KIND = "copies"

_EARLIER = 4
"""How many kept searches are looked at, the last used first, for one with photos in common."""

Read = Callable[[str], Pixels | None]
"""Returns the pixels, (H, W, 3) uint8, of the photo with a SHA-256, or None."""


@dataclass(frozen=True)
class Keeping:
    """Where what the search finds is kept. decoding: how the pixels were decoded that it reads."""

    cache_dir: Path
    decoding: str
    say: Say = silent


@dataclass
class _Seen:
    """What is known of photos. signatures: by SHA-256. verdicts: of pairs of these photos' numbers, when sorted."""

    signatures: dict[str, bytes] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=Verdicts)


def look_alikes(hashes: Mapping[str, str], read: Read, on_progress: Progress, keeping: Keeping | None = None,
                ) -> list[tuple[str, ...]]:
    """Find copies of one photo: the same bytes, or nearly the same picture.

    Args:
        hashes: SHA-256 by path.
        read: returns the pixels of a photo. Not called for photos of a search that was kept.
        keeping: where the outcome is kept; None: nowhere.

    Returns:
        Groups of paths, at least two each.
    """
    digests = sorted(set(hashes.values()))
    groups = (_search(digests, read, on_progress, _Seen()) if keeping is None else
              _kept(digests, read, on_progress, keeping))
    on_progress(len(digests), len(digests))
    name_of = {digest: group[0] for group in groups for digest in group}
    return _at_least_two({path: name_of.get(digest, digest) for path, digest in hashes.items()})


def _kept(digests: Sequence[str], read: Read, on_progress: Progress, keeping: Keeping) -> list[list[str]]:
    """Return the groups of copies that were kept for these photos, or find and keep them."""
    rules = f"{_RULES} {keeping.decoding}"
    folder = place_of(keeping.cache_dir, _KIND, rules, digests)

    def conclude() -> Conclusion:
        seen = _earlier(folder.parent, rules, digests)
        groups = _search(digests, read, on_progress, seen)
        signatures = np.frombuffer(b"".join(map(seen.signatures.__getitem__, sorted(seen.signatures))), np.uint8)
        arrays: dict[str, npt.NDArray[Any]] = {
            "digests": np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
            "signatures": signatures.reshape(-1, SIDE * SIDE), "compared": seen.verdicts.compared}
        content = {"rules": rules, "photos": len(digests), "groups": groups}
        return Conclusion(content, arrays, is_sound=len(seen.signatures) == len(digests))

    def groups_in(content: Mapping[str, Any]) -> list[list[str]]:
        groups = [list(map(str, group)) for group in content["groups"]]
        if not {digest for group in groups for digest in group} <= set(digests):
            raise ValueError("it names other photos")
        return groups

    return concluded(folder, "copies among photos", conclude, groups_in, keeping.say)


def _earlier(folder: Path, rules: str, digests: Sequence[str]) -> _Seen:
    """Return what the kept search with most of these photos knows of them."""
    number_of = {bytes.fromhex(digest): number for number, digest in enumerate(digests)}
    best, most = _Seen(), 0
    with suppress(OSError):
        for entry in sorted(folder.glob("[!.]*"), key=lambda entry: -entry.stat().st_mtime)[:_EARLIER]:
            with suppress(*UNREADABLE):  # another one is making or removing it, or it is damaged
                content = content_in(entry)
                if content is None or content["rules"] != rules:
                    continue
                rows = array_in(entry, content, "digests", np.uint8, 32)
                numbers = np.array([number_of.get(row.tobytes(), -1) for row in rows], np.int64)
                if (common := int((numbers >= 0).sum())) > most:
                    best, most = _seen_by(entry, content, numbers, digests), common
    return best


def _seen_by(entry: Path, content: Mapping[str, Any], numbers: Labels, digests: Sequence[str]) -> _Seen:
    """Return what a kept search knows of the photos that have a number now, -1 being those that are gone.

    Raises one of UNREADABLE where the entry is not as it was written.
    """
    signatures = array_in(entry, content, "signatures", np.uint8, SIDE * SIDE)
    verdicts = Verdicts(array_in(entry, content, "compared", np.int64, 4))
    there = np.flatnonzero(numbers >= 0)
    if len(signatures) != len(numbers) or (np.diff(numbers[there]) <= 0).any() or not verdicts.fit(len(numbers)):
        raise ValueError("its arrays do not belong together")
    return _Seen({digests[numbers[row]]: signatures[row].tobytes() for row in there},
                 Verdicts(_renumbered(verdicts.compared, numbers)))


def _renumbered(compared: Labels, numbers: Labels) -> Labels:
    """Return the comparisons of photos that are still there. Both numberings are in the order of the contents."""
    pairs = numbers[compared[:, :2]]
    there = (pairs >= 0).all(axis=1)
    return np.concatenate([pairs, compared[:, 2:]], axis=1)[there]


def _search(digests: Sequence[str], read: Read, on_progress: Progress, seen: _Seen) -> list[list[str]]:
    """Find groups of copies. What is found on the way is added to `seen`.

    A photo that cannot be read has no signature in `seen` in the end.
    """
    unread: set[str] = set()

    def looked(digest: str) -> bytes | None:
        if (known := seen.signatures.get(digest)) is not None:
            return known
        pixels = read(digest)
        return None if pixels is None else signature_of(pixels)

    def pixels_of(number: int) -> Pixels | None:
        pixels = read(readable[number])
        if pixels is None:
            unread.add(readable[number])
        return pixels

    n = len(digests)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (digest, look) in enumerate(zip(digests, pool.map(looked, digests), strict=True), 1):
            if look is not None:
                seen.signatures[digest] = look
            on_progress(done // 2, n)
    readable = [digest for digest in digests if digest in seen.signatures]
    if len(readable) < n:
        seen.verdicts = Verdicts()  # those that are known go by the numbers of all photos
    copies = find_copies([seen.signatures[digest] for digest in readable], pixels_of,
                         lambda done, _: on_progress((2 * n - len(readable) + done) // 2, n), seen.verdicts)
    for digest in unread:
        del seen.signatures[digest]
    return [[readable[number] for number in group.indices] for group in copies]


def _at_least_two(named: Mapping[str, str]) -> list[tuple[str, ...]]:
    members: dict[str, list[str]] = defaultdict(list)
    for path, name in named.items():
        members[name].append(path)
    return sorted(tuple(sorted(group)) for group in members.values() if len(group) > 1)
