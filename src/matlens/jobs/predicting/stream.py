"""Photos whose paths come on standard input, a line each, where `-` stands for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from matlens.jobs.predict import AskedPhotos
from matlens.runs.places import files_named
from matlens.settings.addresses import Address, store_address_of

STDIN = Path("-")
_LONGEST = 1 << 16


def asked_in_turn(named: Iterable[Path | Address], stream: BinaryIO) -> Iterator[AskedPhotos]:
    """Give the photos that are named, and then those of each line of `stream` as it comes, if `-` is among the names.

    A line is a path as it is, of a photo, a folder or a ZIP, and no pattern; or an address. Empty lines are passed
    over.
    """
    paths = list(named)
    if others := [path for path in paths if path != STDIN]:
        yield AskedPhotos.of(place for path in others for place in (
            [path] if isinstance(path, Address) else files_named([path])))
    if STDIN in paths:
        while line := stream.readline(_LONGEST):
            if path := line.rstrip(b"\r\n"):
                yield AskedPhotos.of([_place(os.fsdecode(path))])


def _place(line: str) -> Path | Address:
    try:
        return store_address_of(line) or Path(line)
    except ValueError:  # the file that is looked for in its stead is not there, and the line is named
        return Path(line)


def together(asked: Iterable[AskedPhotos]) -> AskedPhotos:
    """Join all photos into one list."""
    parts = list(asked)
    return AskedPhotos(tuple(photo for part in parts for photo in part.photos),
                       tuple(place for part in parts for place in part.unlisted), sum(part.others for part in parts))
