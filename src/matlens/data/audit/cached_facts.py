"""Facts of photos, cached by content: an audit of a dataset that grew decodes its new photos alone.

They lie in shards (`matlens.system.shards`), a row of bytes each. A trouble of the machine says nothing of a photo,
so it is never kept: the next audit reads that photo again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.audit.photo_facts import Looks, PhotoFacts, facts_of, read_facts
from matlens.data.pixels.files import digest_of
from matlens.data.pixels.problems import Problem, UnreadableImageError
from matlens.data.source.sources import Listed
from matlens.data.split.signatures import SIDE
from matlens.errors import CacheError
from matlens.system.caches import Say, silent
from matlens.system.shards.planning import unpacked
from matlens.system.shards.shard import OpenShard, WriteRow
from matlens.system.shards.sharded import ShardedValues
from matlens.types import Progress, unheard

_RULES = "1"
"""Part of the key: a change of decoding or of what is measured must raise it."""

_NAME = 16
"""Bytes for the name of a format or a mode; longer ones are not kept."""

_ROW = np.dtype([
    ("bytes", "<i8"), ("width", "<i8"), ("height", "<i8"), ("animated", "?"), ("format", f"S{_NAME}"),
    ("mode", f"S{_NAME}"), ("flat", "<f8"), ("low", "<i8"), ("high", "<i8"), ("burnt", "<f8"), ("chroma", "<i8"),
    ("edges", "<f8"), ("sharpness", "<f8"), ("filled", "<f8"), ("signature", "u1", (SIDE * SIDE,))])

_OF_FILE = ("bytes", "width", "height", "animated")
_OF_LOOKS = ("flat", "low", "high", "burnt", "chroma", "edges", "sharpness", "filled")

_OF_HASHING = 10
"""One in so many steps of the progress is that of hashing, which takes less time than decoding."""


def fact_shards(root: Path, photos: Mapping[str, Listed], cache_dir: Path, say: Say = silent,
                computed: dict[str, PhotoFacts] | None = None) -> ShardedValues:
    """Return the facts of photos as shards, of which each can be collected by itself (`ShardedValues.build`).

    Args:
        root: the folder of the dataset.
        photos: one file of each content, by the SHA-256.
        computed: gets the facts that are collected, by SHA-256, those that cannot be kept too.
    """
    return ShardedValues(cache_dir, "facts", "facts of photos", _RULES, sorted(photos), "|u1", lambda: (_ROW.itemsize,),
                         partial(_fill, root, photos, {} if computed is None else computed), {"model": ""}, say=say)


def cached_facts(root: Path, photos: Sequence[Listed], cache_dir: Path, on_progress: Progress = unheard,
                 say: Say = silent) -> list[PhotoFacts]:
    """Return the facts of photos, as `read_facts` does, and decode those alone that no earlier audit knew.

    Where the cache cannot be written, `say` is told, and nothing is kept.
    """
    hashed = len(photos) // _OF_HASHING
    digests = _digests(root, photos, lambda done, _: on_progress(done // _OF_HASHING, len(photos)))
    of_content: dict[str, Listed] = {}
    for photo, digest in zip(photos, digests, strict=True):
        if digest is not None:
            of_content.setdefault(digest, photo)
    computed: dict[str, PhotoFacts] = {}

    def advance(done: int, total: int) -> None:
        on_progress(hashed + (len(photos) - hashed) * done // max(total, 1), len(photos))

    kept = fact_shards(root, of_content, cache_dir, say, computed)
    try:
        known = _facts_in(kept.opened_or_made(advance).shards, of_content.keys() - computed.keys())
    except CacheError as error:
        say(f"{error} This audit goes on; the next one reads these photos again.")
        known = _facts_in(kept.there(), of_content.keys() - computed.keys())
        unread = [photo for digest, photo in of_content.items() if digest not in computed and digest not in known]
        known |= {fact.sha256: fact for fact in read_facts(root, unread, advance) if _is_kept(fact)}
    known |= computed
    facts = []
    for photo, digest in zip(photos, digests, strict=True):
        fact = known.get(digest or "")
        facts.append(facts_of(root, photo) if fact is None or fact.sha256 != digest else
                     dataclasses.replace(fact, path=photo.path, class_name=photo.class_name))
    on_progress(len(photos), len(photos))
    return facts


def _digests(root: Path, photos: Sequence[Listed], on_progress: Progress) -> list[str | None]:
    """Return the SHA-256 of each file; None where it cannot be read."""
    def hashed(photo: Listed) -> str | None:
        try:
            return digest_of(root / photo.path)[0]
        except UnreadableImageError:
            return None

    digests = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, digest in enumerate(pool.map(hashed, photos), 1):
            digests.append(digest)
            on_progress(done, len(photos))
    return digests


def _fill(root: Path, photos: Mapping[str, Listed], computed: dict[str, PhotoFacts], digests: tuple[str, ...],
          write: WriteRow, on_progress: Progress) -> Mapping[str, Any]:
    """Collect facts. Returns the problems of photos, and which photos have no facts that can be kept."""
    problems: dict[str, list[str]] = {}
    unknown = []
    facts = read_facts(root, [photos[digest] for digest in digests], on_progress)
    for row, (digest, fact) in enumerate(zip(digests, facts, strict=True)):
        computed[digest] = fact
        if fact.sha256 != digest or not _is_kept(fact):
            unknown.append(digest)
        elif fact.problem is not None:
            problems[digest] = [fact.problem, fact.problem.kind]
        write(row, _packed(fact))
    return {"problems": problems, "unknown": unknown}


def _is_kept(fact: PhotoFacts) -> bool:
    names = (fact.format, fact.mode)
    return bool(fact.sha256) and (fact.problem is None or fact.problem.is_of_the_photo) and all(
        len(name) <= _NAME and name.isascii() for name in names) and len(fact.looks.signature) in (0, SIDE * SIDE)


def _packed(fact: PhotoFacts) -> npt.NDArray[np.uint8]:
    row = np.zeros(1, _ROW)
    if _is_kept(fact):
        for name in _OF_FILE:
            row[name] = getattr(fact, name)
        for name in _OF_LOOKS:
            row[name] = getattr(fact.looks, name)
        row["format"], row["mode"] = fact.format.encode(), fact.mode.encode()
        if fact.looks.signature:
            row["signature"] = np.frombuffer(fact.looks.signature, np.uint8)
    return row.view(np.uint8)


def _facts_in(shards: Iterable[OpenShard], wanted: Collection[str]) -> dict[str, PhotoFacts]:
    """Return the facts of wanted photos by SHA-256, without their paths and classes, as far as shards have them."""
    facts: dict[str, PhotoFacts] = {}
    for shard in shards:
        unknown = set(shard.about["unknown"])
        problems = {digest: Problem(*problem) for digest, problem in shard.about["problems"].items()}
        rows = np.ascontiguousarray(shard.values).view(_ROW).reshape(-1)
        plain = {name: rows[name].tolist() for name in (*_OF_FILE, *_OF_LOOKS, "format", "mode")}
        for row, digest in enumerate(unpacked(shard.digests)):
            if digest in unknown or digest not in wanted:
                continue
            of_file = {name: plain[name][row] for name in _OF_FILE}
            if digest in problems:
                facts[digest] = PhotoFacts("", "", of_file["bytes"], digest, problems[digest])
                continue
            looks = Looks(**{name: plain[name][row] for name in _OF_LOOKS}, signature=rows["signature"][row].tobytes())
            facts[digest] = PhotoFacts("", "", **of_file, sha256=digest, looks=looks,
                                       format=plain["format"][row].decode(), mode=plain["mode"][row].decode())
    return facts
