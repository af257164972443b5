"""Download a large file over HTTP, so that any interruption can be continued from.

pooch, which fetches weights, starts again after each interruption, which is too much for 2 GB from a university's
server. It lacks a Range header and its bookkeeping, for which the standard library is enough.

    <name>.part        the bytes that have arrived
    <name>.part.json   the version of the file that they are of: its address, validator (ETag or Last-Modified) and
                       size; when all have arrived also `finished`, by which the file is known as downloaded
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from matlens import __version__
from matlens.data.source.connection import open_address
from matlens.data.source.patience import Patience
from matlens.errors import DataError
from matlens.system.caches import Say
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import UNREADABLE, in_short

_BLOCK = 1 << 18
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that another try may change."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_LONGEST_VALIDATOR = 1000
"""Letters of an ETag that is sent back; servers refuse requests with long headers."""

MOST = 16 * 10**9
"""The most bytes of a file, also where the server does not say how many there are."""

BytesProgress = Callable[[int, int | None], None]
"""Called with (bytes that have arrived, bytes of the whole file, or None if the server does not say)."""


@dataclass(frozen=True)
class _Version:
    """The version of a file that a part belongs to. validator: the value for If-Range; "" if there is none."""

    url: str
    validator: str
    size: int | None


class _Dropped(Exception):
    """A connection failed or ended too early. Another try may succeed."""


def part_of(target: Path) -> Path:
    """Return the path at which a file grows while it is downloaded."""
    return target.with_name(f"{target.name}.part")


def download(url: str, target: Path, *, before: BytesProgress, advance: BytesProgress, say: Say,
             patience: Patience | None = None, most: int = MOST) -> None:
    """Download `url` to `target`, continuing from what an earlier call left.

    Args:
        most: the bytes that the file may have.
        before: called with the sizes before the first byte of each connection. It may raise an error to refuse.
        advance: called with the sizes after each block.
        say: called with a message about why and when there is another try.

    Raises:
        DataError: the server has no such file, or all tries failed. The bytes that have arrived stay. Or the file has
            more than `most` bytes, of which none stay.
        OSError: the file cannot be written.
    """
    patience = patience or Patience()
    part, failures = part_of(target), 0
    while True:
        arrived, begin = _size(part), time.monotonic()
        try:
            _continue(url, part, before, advance, patience, most)
            break
        except _Dropped as dropped:
            # A byte for each try would never come to an end either.
            enough = max(1.0, patience.slowest * (time.monotonic() - begin))
            failures = 1 if _size(part) - arrived >= enough else failures + 1
            if failures >= patience.tries:
                raise DataError(f"Cannot download {url}: {dropped} ({failures} tries).") from dropped
            pause = min(patience.pause * 2 ** (failures - 1), 60)
            say(f"{url}: {dropped}; trying again in {pause:.0f} s, from {_size(part) / 1e6:.0f} MB on")
            time.sleep(pause)
    with suppress(*UNREADABLE):  # without the note the file is taken for the user's own, and stays
        write_json(_note_of(part), {**read_json(_note_of(part)), "finished": _identity(part)})
    part.replace(target)


def was_downloaded(target: Path) -> bool:
    """Return whether `download` brought a file that lies there, and nobody has changed or replaced it since."""
    with suppress(*UNREADABLE):
        return bool(read_json(_note_of(part_of(target)))["finished"] == _identity(target))
    return False


def _identity(file: Path) -> list[int]:
    about = file.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ino]


def forget_download(target: Path) -> None:
    """Remove the part of an unfinished download, and what is noted of it or of a finished one."""
    for file in (part_of(target), _note_of(part_of(target))):
        file.unlink(missing_ok=True)


def _continue(url: str, part: Path, before: BytesProgress, advance: BytesProgress, patience: Patience,
              most: int) -> None:
    """Use one connection to get the rest of the file. Raises _Dropped if that does not reach the end."""
    version = _version_of(part, url)
    have = _size(part) if version is not None else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"matlens/{__version__}",
                                                   "Accept-Encoding": "identity"})
    if version is not None and have:
        if have == version.size:
            return
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.validator)
    with closing(_answer(request, part, patience, most)) as answer:
        if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
            _check_range(answer, part, version, have)
            size = version.size if version is not None else None
        else:  # the whole file: it was changed, or the server does not support ranges
            have, length = 0, answer.headers.get("Content-Length", "").strip()
            size = int(length) if _LENGTH.fullmatch(length) else None  # else the end of the connection is the file's
            part.unlink(missing_ok=True)
            write_json(_note_of(part), asdict(_Version(url, _validator(answer), size)))
        _refuse_more(url, part, size or 0, most)
        before(have, size)
        with part.open("ab") as file:
            while block := _read(answer):
                file.write(block)
                have += len(block)
                advance(have, size)
                _refuse_more(url, part, have, most)
    if size is not None and have > size:
        part.unlink()
        raise _Dropped(f"the server sent {have:,} bytes of a file of {size:,}")
    if size is not None and have < size:
        raise _Dropped(f"the connection ended after {have:,} of {size:,} bytes")


def _refuse_more(url: str, part: Path, size: int, most: int) -> None:
    if size > most:
        part.unlink(missing_ok=True)
        raise DataError(f"Cannot download {url}: it has more than {most / 1e9:g} GB.")


def _answer(request: urllib.request.Request, part: Path, patience: Patience, most: int) -> http.client.HTTPResponse:
    try:
        answer = open_address(request, patience, most)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _Dropped("the server has another file now") from error
        if error.code in _PASSING:
            raise _Dropped(f"the server answers {error.code} {error.reason}") from error
        raise DataError(f"Cannot download {request.full_url}: the server answers {error.code} "
                        f"{in_short(str(error.reason))}.") from error
    except urllib.error.URLError as error:
        raise _Dropped(_reason(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error
    except ValueError as error:  # of urllib, for what a Location header or --url may hold
        raise DataError(f"Cannot download {request.full_url}: it leads to an address that is none "
                        f"({in_short(str(error))}).") from error
    return answer


def _read(answer: http.client.HTTPResponse) -> bytes:
    # read1 returns what has arrived, so nothing of an incomplete block is lost.
    try:
        return answer.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error


def _reason(error: BaseException | str) -> str:
    if isinstance(error, TimeoutError):
        return "the server sends nothing"
    return in_short(str(error)) or type(error).__name__


def _check_range(answer: http.client.HTTPResponse, part: Path, version: _Version | None, have: int) -> None:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have or version is None or match[2] not in ("*", str(version.size)):
        part.unlink(missing_ok=True)
        raise _Dropped("the server sends another range than matlens asked for")


def _validator(answer: http.client.HTTPResponse) -> str:
    etag = str(answer.headers.get("ETag", ""))
    # RFC 9110, 13.1.5: a weak ETag does not promise the same bytes.
    validator = etag if etag and not etag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))
    return validator if len(validator) <= _LONGEST_VALIDATOR else ""


def _version_of(part: Path, url: str) -> _Version | None:
    """Return the version that a part belongs to, if the download can be continued from it."""
    with suppress(*UNREADABLE):
        noted = read_json(_note_of(part))
        noted.pop("finished", None)  # a process was killed before it gave the file its name
        version = _Version(**noted)
        if version.url == url and version.validator and version.validator.isprintable() and (  # it goes into a header
                len(version.validator) <= _LONGEST_VALIDATOR and isinstance(version.size, int | None)):
            return version
    return None


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
