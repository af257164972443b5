"""Damage files that matlens reads, as data: tables of readers and attacks are made of this."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from matlens.errors import MatlensError

TEXT = ("no UTF-8", "binary")
JSON = (*TEXT, "empty", "truncated", "number", "text", "list", "null", "nested", "braces", "deep", "nan", "huge")
ARRAY = (*TEXT, "empty", "truncated", "pickle")
CONTENTS = {
    "empty": b"", "no UTF-8": b"\xff\xfe", "binary": bytes(range(256)) * 8, "number": b"5", "text": b'"photos"',
    "list": b"[]", "null": b"null", "nested": b"[" * 100_000, "braces": b'{"a":' * 100_000,
    "deep": b'{"photos": ' + b"[" * 200 + b"]" * 200 + b"}", "nan": b'{"photos": NaN, "format": NaN}',
    "huge": b'{"photos": 1e999, "hash": 1e999}', "pickle": pickle.dumps({"photos": 1}),
    "nested TOML": b"a = " + b"[" * 100_000, "large": b"#" * (2 << 20)}
PLACES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None, "folder": lambda path: path.mkdir(), "pipe": lambda path: os.mkfifo(path)}
_SECONDS = 20


@dataclass(frozen=True)
class Reader:
    """make: writes a file in order. read: reads it. error: what a damaged file raises; None if it counts as missing.

    contents: the attacks on the content that the format lets a reader notice.
    unread: top-level fields of JSON that may hold anything, since the reader does not need them.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    error: type[MatlensError] | tuple[type[MatlensError], ...] | None
    contents: tuple[str, ...] = JSON
    unread: frozenset[str] = frozenset()


def cases(readers: Mapping[str, Reader]) -> list[tuple[str, str]]:
    """Every reader's name with every attack on its file."""
    return [(name, attack) for name, reader in readers.items() for attack in (*PLACES, *reader.contents)]


@contextmanager
def at_once(seconds: int = _SECONDS) -> Iterator[None]:
    """Fail the test where reading a file does not end: the opening of a named pipe waits for a writer."""
    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"still reading after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refuse(reader: Reader, path: Path, what: str = "") -> None:
    """Assert that a damaged file is refused by an error that names it, or counts as missing."""
    with at_once():
        if reader.error is None:
            assert reader.read(path) is None
            return
        try:
            reader.read(path)
        except reader.error as error:
            assert path.name in str(error) and str(path.parent) in str(error), f"{what}: {error}"
            return
    pytest.fail(f"{what} was not noticed")


def refuse_after(attack: str, reader: Reader, folder: Path) -> None:
    """Make a file, damage it by an attack of the tables above, and assert that it is refused."""
    path = reader.make(folder)
    whole = path.read_bytes()
    path.unlink()
    if attack in PLACES:
        PLACES[attack](path)
    else:
        path.write_bytes(CONTENTS.get(attack, whole[:len(whole) // 2]))
    refuse(reader, path, attack)


def of_other_types(value: Any) -> list[str]:
    """JSON that cannot stand where `value` stands: other types, and for numbers also what no double can hold."""
    if isinstance(value, bool):
        return ["[{}]", "NaN"]
    if isinstance(value, int | float):
        return ["[{}]", '"x"', "NaN", "-1e999", "1" + "0" * 400]
    if isinstance(value, dict | list):
        return ["5", '"x"', "[[5]]"]
    return ["[{}]", "[5]"]


def refuse_other_types(reader: Reader, folder: Path) -> None:
    """Assert that each top-level field of a JSON file is refused where it is of another type."""
    path = reader.make(folder)
    whole = json.loads(path.read_text())
    assert reader.unread <= whole.keys()
    for key in (key for key in whole if key not in reader.unread):
        for value in of_other_types(whole[key]):
            changed = copy.copy(whole)
            changed[key] = "<here>"
            path.write_text(json.dumps(changed).replace('"<here>"', value))
            refuse(reader, path, f"{key} = {value[:20]}")
