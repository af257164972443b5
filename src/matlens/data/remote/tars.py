"""Tar shards as WebDataset lays them out: `0001.jpg` and `0001.cls` (or `.txt`, `.json`) are a photo and its label.

Names are read as WebDataset does: what stands before the first dot of the last part is the key, the rest says what a
file is.
"""

from __future__ import annotations

import itertools
import re
import shutil
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from matlens.data.layout.walk import IMAGE_SUFFIXES, is_hidden
from matlens.data.remote.stores import can_be_class
from matlens.errors import DataError
from matlens.system.registry import near
from matlens.system.untrusted import (
    UNREADABLE,
    open_regular,
    parse_json,
    quoted,
    reason_of,
    size_of_regular,
    stays_inside,
    text_of,
)

LABELS = ("cls", "json", "txt")
"""The endings of files that hold a label, the first that a sample has counts."""

JSON_KEYS = ("label", "cls", "class", "class_name")
_LONGEST_LABEL, _LONGEST_JSON = 4096, 1 << 20
_MOST_MEMBERS = 4_000_000
_MOST_SHARDS = 100_000
_LONGEST_READ = 1 << 21
"""Of a tar, at once. tarfile reads a header in one piece, however long it says to be."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})")


def spread(pattern: str, shown: str) -> list[str]:
    """Return what `shards-{0000..0009}.tar` or `{a,b}.tar` stands for, as a shell writes it out.

    shown: how messages call it.

    Raises DataError for braces that stand for too many names, or for none.
    """
    names = [pattern]
    while any(_BRACES.search(name) for name in names):
        written = (name[:match.start()] + word + name[match.end():] for name in names
                   if (match := _BRACES.search(name)) for word in _words(match[1], shown))
        names = list(itertools.islice(written, _MOST_SHARDS + 1))
        if len(names) > _MOST_SHARDS:
            raise DataError(f"{shown} stands for more than {_MOST_SHARDS:,} shards. Name fewer, or make larger ones.")
    return names


def _words(inside: str, shown: str) -> Iterator[str]:
    if match := _RANGE.fullmatch(inside):
        first, last = int(match[1]), int(match[2])
        if last - first > _MOST_SHARDS or last < first:
            raise DataError(f"{shown}: {{{inside}}} stands for {'too many' if last > first else 'no'} names. Write "
                            "the smaller number first, as in {0000..0009}.")
        width = len(match[1]) if match[1].startswith("0") else 0
        yield from (f"{number:0{width}d}" for number in range(first, last + 1))
    else:
        yield from inside.split(",")


_DAMAGE: tuple[type[Exception], ...] = (tarfile.TarError, *UNREADABLE)


class _InPieces:
    """A file that is read in pieces of bounded length. Raises ValueError for a longer one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        if not 0 <= size <= _LONGEST_READ:
            raise ValueError("a header in it is too long")
        return self._file.read(size)


@dataclass
class _Sample:
    """What was read of a sample. photo: the file that its photo was written to. labels: by the ending of their file."""

    photo: Path | None = None
    ending: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unpacked:
    """The photos of a shard: (file, place), where the place is `label/key.jpg`. others: samples without either."""

    photos: tuple[tuple[Path, str], ...]
    others: tuple[str, ...]


def unpack_shard(shard: Path, public: str, into: Path, most: int, taken: Collection[str]) -> Unpacked:
    """Write the photos of a shard to files in a folder, and say where each goes.

    Args:
        public: the shard's address, which messages name.
        most: the bytes that its photos may have together.
        taken: places that photos of other shards have; one that is taken gets the shard's name into its own.

    Raises:
        DataError: the shard is damaged, or names something that must not be unpacked; or a label is none.
        OSError: a file cannot be written.
    """
    samples: dict[str, _Sample] = {}
    try:
        with open_regular(shard) as raw, tarfile.open(fileobj=cast(BinaryIO, _InPieces(raw)), mode="r:") as tar:
            for number in itertools.count():
                if (member := tar.next()) is None:
                    break
                if number >= _MOST_MEMBERS:
                    raise ValueError(f"it has more than {_MOST_MEMBERS:,} members")
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse() or member.size < 0:
                    raise ValueError(f"{quoted(member.name)} is a link or a device")
                most -= _read(tar, member, samples, into, number, most, public)
                tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all of them
            if tar.offset >= size_of_regular(shard):  # tarfile takes a file that is cut off there for a whole one
                raise ValueError("its end is missing")
    except DataError:
        raise
    except _DAMAGE as problem:
        if isinstance(problem, OSError) and problem.filename is not None:
            raise
        raise DataError(f"{public} is not a whole tar shard ({reason_of(problem)}). Get it again, or leave it out."
                        ) from None
    return _placed(samples, public, shard, taken)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, samples: dict[str, _Sample], into: Path, number: int,
          most: int, public: str) -> int:
    """Take a file of a shard. Returns the bytes that were written."""
    name = member.name.removeprefix("./")
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    if not stem or is_hidden(last):
        return 0
    if not stays_inside(name) or "" in name.split("/") or "." in name.split("/") or not name.isprintable():
        raise ValueError(f"{quoted(name)} is no plain name")
    sample = samples.setdefault(f"{folder}{slash}{stem}", _Sample())
    kind = ending.lower()
    content = tar.extractfile(member)
    if content is None:
        return 0
    with content:
        if kind in sample.labels or (sample.ending and kind == sample.ending[1:]):
            raise ValueError(f"{quoted(name)} is in it twice")
        if kind in LABELS:
            longest = _LONGEST_JSON if kind == "json" else _LONGEST_LABEL
            if member.size > longest:
                raise ValueError(f"{quoted(name)} has {member.size:,} bytes, which no label has")
            text = text_of(content.read(longest + 1)).strip()
            sample.labels[kind] = _of_json(text, name, public) if kind == "json" else text
        elif f".{kind}" in IMAGE_SUFFIXES and sample.photo is None:
            if member.size > most:
                raise DataError(f"There is no room for {quoted(name)} within --cache-limit. Give it a larger number.")
            sample.photo, sample.ending = into / f"{number:08d}", f".{ending.lower()}"
            with sample.photo.open("xb") as file:
                shutil.copyfileobj(content, file)
            if sample.photo.stat().st_size != member.size:
                raise ValueError(f"it ends within {quoted(name)}")
            return member.size
    return 0


def _placed(samples: dict[str, _Sample], public: str, shard: Path, taken: Collection[str]) -> Unpacked:
    photos: list[tuple[Path, str]] = []
    others: list[str] = []
    used: set[str] = set()
    stem = Path(public).stem
    for key, sample in samples.items():
        label = _label(sample, key, public)
        if sample.photo is None or label is None:
            others.append(key)
            if sample.photo is not None:
                sample.photo.unlink()
            continue
        name = f"{key}{sample.ending}".removeprefix(f"{label}/")
        place, number = f"{label}/{name}", 1
        while place in taken or place in used:
            place = f"{label}/{stem}{f'-{number}' if number > 1 else ''}/{name}"
            number += 1
        used.add(place)
        photos.append((sample.photo, place))
    if not photos:
        raise DataError(f"{public} holds no photo with a label: files such as 0001.jpg beside 0001.cls, 0001.txt or "
                        "0001.json. Leave the shard out, or write it so.")
    return Unpacked(tuple(photos), tuple(others))


def _label(sample: _Sample, key: str, public: str) -> str | None:
    kind = next((kind for kind in LABELS if kind in sample.labels), None)
    if kind is None:
        return None
    label = sample.labels[kind]
    if not can_be_class(label):
        raise DataError(f"{public}: {quoted(key)} has the label {quoted(label)}, which no folder can be called. "
                        "Correct it in the shard.")
    return label


def _of_json(text: str, name: str, public: str) -> str:
    try:
        return _label_in(parse_json(text))
    except ValueError as problem:
        raise DataError(f"{public}: the label in {quoted(name)} cannot be read: {reason_of(problem)}. Write it as "
                        f"{name[:-len('json')]}cls, or as {{\"label\": \"wood\"}}.") from None


def _label_in(content: Any) -> str:
    if isinstance(content, dict):
        chosen = next((name for name in JSON_KEYS if name in content), None)
        if chosen is None:
            meant = near("label", content)
            raise ValueError(f"its JSON has none of {', '.join(JSON_KEYS)}, but "
                             f"{', '.join(map(quoted, list(content)[:8]))}"
                             f"{f'; rename {meant[0]} to label' if meant else ''}")
        content = content[chosen]
    if isinstance(content, bool) or not isinstance(content, str | int):
        raise ValueError("its label is neither a text nor a whole number")
    return str(content).strip()
