"""Which photos lie in which shard: what the cache has is used, and what is missing is divided by content alone.

The photos that are wanted are cut by the leading bits of their SHA-256 until no more than LARGEST are left in a leaf. A
leaf of which most is missing becomes a shard of its own; what is missing of all other leaves is collected in shards of
additions. So a plan depends on nothing but the photos and the shards that are there, it stays the same while its shards
are built in whatever order, and ten new photos among 50,000 are one shard of ten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matlens.types import Labels

LARGEST = 4096
"""The most photos of a shard."""

Digests = npt.NDArray[np.bytes_]
"""SHA-256 of photos' contents, (N,) of 32 bytes each."""

_BYTES = 32


@dataclass(frozen=True)
class Shard:
    """Photos whose values lie, or are to lie, in one folder of the cache.

    name: of the folder. digests: SHA-256 of the photos' contents, sorted.
    """

    name: str
    digests: tuple[str, ...]


@dataclass(frozen=True)
class ShardPlan:
    """How photos are divided among shards.

    used: names of shards that are there. new: photos of those that are missing, sorted.
    places: (N,) where each photo stands in the shards one after the other, those that are there first.
    """

    used: tuple[str, ...]
    new: tuple[Digests, ...]
    places: Labels


def packed(digests: Sequence[str]) -> Digests:
    """Return digests in hexadecimal as (N,) bytes. Raises ValueError for anything else than SHA-256."""
    content = bytes.fromhex("".join(digests))
    if len(content) != _BYTES * len(digests):
        raise ValueError("a digest is no SHA-256")
    return np.frombuffer(content, f"S{_BYTES}")


def unpacked(digests: Digests) -> tuple[str, ...]:
    """Return digests (N,) in hexadecimal."""
    text = digests.tobytes().hex()
    return tuple(text[start:start + 2 * _BYTES] for start in range(0, len(text), 2 * _BYTES))


def stage_of(rules: str) -> str:
    """Return how the names of all shards begin that hold values computed by some rules."""
    return hashlib.sha256(rules.encode()).hexdigest()[:16]


def shard_name(rules: str, digests: Digests) -> str:
    """Name the shard of these photos, sorted."""
    return f"{stage_of(rules)}-{hashlib.sha256(digests.tobytes()).hexdigest()[:24]}"


def found_in(wanted: Digests, digests: Digests) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return where each of `digests` stands in `wanted`, which is sorted, and whether it stands there at all."""
    places = np.searchsorted(wanted, digests)
    return places, wanted[np.minimum(places, len(wanted) - 1)] == digests if len(wanted) else np.zeros(
        len(digests), np.bool_)


def planned(wanted: Digests, there: Mapping[str, Digests]) -> ShardPlan:
    """Divide photos among shards.

    Args:
        wanted: the photos, sorted, each once.
        there: the photos, sorted, of each shard that the cache has, by the shard's name.
    """
    places = np.full(len(wanted), -1, dtype=np.int64)
    hits = {name: found_in(wanted, digests) for name, digests in there.items()}
    used: list[str] = []
    start = 0
    for name in sorted(hits, key=lambda name: (-int(hits[name][1].sum()), name)):
        rows, is_wanted = hits[name]
        open_rows = np.flatnonzero(is_wanted)
        open_rows = open_rows[places[rows[open_rows]] < 0]
        if len(open_rows):
            places[rows[open_rows]] = start + open_rows
            used.append(name)
            start += len(is_wanted)
    new = []
    for rows in _divided(wanted, places < 0):
        places[rows] = start + np.arange(len(rows))
        start += len(rows)
        new.append(wanted[rows])
    if not len(wanted):
        new.append(wanted)  # an empty shard tells the shape of no rows
    return ShardPlan(tuple(used), tuple(new), places)


def _divided(wanted: Digests, is_missing: npt.NDArray[np.bool_]) -> Iterator[Labels]:
    """Yield the rows of each new shard."""
    additions: list[Labels] = []
    for begin, end in _leaves(wanted, 0, len(wanted), 0):
        rows = begin + np.flatnonzero(is_missing[begin:end])
        if 2 * len(rows) > end - begin:
            yield rows
        else:
            additions.append(rows)
    remaining = np.concatenate([np.zeros(0, np.int64), *additions])
    for begin in range(0, len(remaining), LARGEST):
        yield remaining[begin:begin + LARGEST]


def _leaves(wanted: Digests, begin: int, end: int, bit: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of the leaves of photos that share their first `bit` bits."""
    if end - begin <= LARGEST:
        if end > begin:
            yield begin, end
        return
    first = bytearray(wanted[begin:begin + 1].tobytes())
    first[bit // 8] = first[bit // 8] & (0xFF00 >> bit % 8) & 0xFF | 0x80 >> bit % 8
    first[bit // 8 + 1:] = bytes(_BYTES - 1 - bit // 8)
    middle = begin + int(np.searchsorted(wanted[begin:end], np.frombuffer(bytes(first), f"S{_BYTES}"))[0])
    yield from _leaves(wanted, begin, middle, bit + 1)
    yield from _leaves(wanted, middle, end, bit + 1)
