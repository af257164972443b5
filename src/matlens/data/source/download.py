"""Download a large file that may be interrupted at any time, over HTTP.

pooch, which fetches weights, begins anew after each interruption: for 2 GB from one university's server that will not
do. What is missing is a Range header and its bookkeeping, for which the standard library is enough.

    <name>.part        what has arrived
    <name>.part.json   of which version of the file: its address, validator (ETag or Last-Modified) and size
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from matlens import __version__
from matlens.errors import DataError
from matlens.system.caches import Say
from matlens.system.files import read_json, write_json

_BLOCK = 1 << 18
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be another one later."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Follow = Callable[[int, int | None], None]
"""Called with (bytes that have arrived, bytes of the whole file as far as the server says)."""


@dataclass(frozen=True)
class Patience:
    """How much is put up with.

    tries: in a row without a byte. pause: seconds before the second of them, doubled each time.
    stall: seconds without a byte until a connection is given up.
    """

    tries: int = 6
    pause: float = 1.0
    stall: float = 30.0


@dataclass(frozen=True)
class _Version:
    """Which file a part is of. validator: what If-Range takes, or "" if the server names none."""

    url: str
    validator: str
    size: int | None


class _Dropped(Exception):
    """A connection that failed, or did so too early; another try may succeed."""


def part_of(target: Path) -> Path:
    """Where a file grows while it is downloaded."""
    return target.with_name(f"{target.name}.part")


def download(url: str, target: Path, *, before: Follow, advance: Follow, say: Say,
             patience: Patience | None = None) -> None:
    """Fetch `url` into `target`, going on from what an earlier call left.

    Args:
        before: told the sizes before the first byte of each connection; may raise to refuse.
        advance: told the same after each block.
        say: told why and when there is another try.

    Raises:
        DataError: the server has no such file, or cannot be reached in so many tries. What has arrived stays.
        OSError: the file cannot be written.
    """
    patience = patience or Patience()
    part, failures = part_of(target), 0
    while True:
        arrived = _size(part)
        try:
            _go_on(url, part, before, advance, patience.stall)
            break
        except _Dropped as dropped:
            failures = 1 if _size(part) > arrived else failures + 1
            if failures >= patience.tries:
                raise DataError(f"Cannot download {url}: {dropped} ({failures} tries).") from dropped
            pause = min(patience.pause * 2 ** (failures - 1), 60)
            say(f"{url}: {dropped}; trying again in {pause:.0f} s, from {_size(part) / 1e6:.0f} MB on")
            time.sleep(pause)
    part.replace(target)
    forget_part(target)


def forget_part(target: Path) -> None:
    """Remove what a download has left that is not needed any more."""
    for file in (part_of(target), _note_of(part_of(target))):
        file.unlink(missing_ok=True)


def _go_on(url: str, part: Path, before: Follow, advance: Follow, stall: float) -> None:
    """One connection: from where the part ends to the end of the file. Raises _Dropped if it does not get there."""
    known = _noted(part, url)
    have = _size(part) if known is not None else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"matlens/{__version__}",
                                                   "Accept-Encoding": "identity"})
    if known is not None and have:
        if have == known.size:
            return
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", known.validator)
    with closing(_answer(request, part, stall)) as answer:
        if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
            _check_goes_on(answer, part, known, have)
            size = known.size if known is not None else None
        else:  # the whole file: it was changed, or the server knows no ranges
            have, length = 0, answer.headers.get("Content-Length")
            size = int(length) if length else None
            part.unlink(missing_ok=True)
            write_json(_note_of(part), asdict(_Version(url, _validator(answer), size)))
        before(have, size)
        with part.open("ab") as file:
            while block := _read(answer):
                file.write(block)
                have += len(block)
                advance(have, size)
    if size is not None and have != size:
        raise _Dropped(f"the connection ended after {have:,} of {size:,} bytes")


def _answer(request: urllib.request.Request, part: Path, stall: float) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=stall)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _Dropped("the server has another file now") from error
        if error.code in _PASSING:
            raise _Dropped(f"the server answers {error.code} {error.reason}") from error
        raise DataError(f"Cannot download {request.full_url}: the server answers {error.code} {error.reason}."
                        ) from error
    except urllib.error.URLError as error:
        raise _Dropped(_reason(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error
    return answer


def _read(answer: http.client.HTTPResponse) -> bytes:
    # read1 gives what has arrived: of a block that stays incomplete nothing is lost.
    try:
        return answer.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error


def _reason(error: BaseException | str) -> str:
    if isinstance(error, TimeoutError):
        return "the server sends nothing"
    return str(error) or type(error).__name__


def _check_goes_on(answer: http.client.HTTPResponse, part: Path, known: _Version | None, have: int) -> None:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have or known is None or match[2] not in ("*", str(known.size)):
        part.unlink(missing_ok=True)
        raise _Dropped("the server sends another range than it was asked for")


def _validator(answer: http.client.HTTPResponse) -> str:
    etag = str(answer.headers.get("ETag", ""))
    # RFC 9110, 13.1.5: a weak ETag says that files are much the same, not that their bytes are.
    return etag if etag and not etag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def _noted(part: Path, url: str) -> _Version | None:
    """The version that a part is of, if it can be gone on with."""
    try:
        known = _Version(**read_json(_note_of(part)))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.url == url and known.validator else None


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
