"""Open photos' files: regular ones alone, of bounded size, with patience for a disk or a network that stumbles."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from matlens.data.pixels.problems import HEAD, UnreadableImageError, format_of, problem_of
from matlens.system.untrusted import open_regular

MAX_BYTES = 1 << 30
"""The most bytes of a photo's file: 128 million pixels of 8 bytes each. Larger files are not read."""

_BLOCK = 1 << 20
_PASSES = {errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENOMEM}
_PAUSES = (0.1, 0.5)
"""Seconds before another attempt: a network disk that lost a file's handle finds it when it is opened anew."""

Read = TypeVar("Read")


def content_of(path: Path) -> bytes:
    """Return a photo's file. Of one of another format only the first bytes are read.

    Raises:
        UnreadableImageError: there is no such file, it is not read (a pipe, a device, more than MAX_BYTES, another
            format), or it cannot be read now.
    """
    def read() -> bytes:
        with opened(path) as file:
            head = file.read(HEAD)
            format_of(head, _blocks(file, _BLOCK))
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            blocks = list(_blocks(file, size))
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    return _patiently(read)


def digest_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the bytes of a photo's file, read in blocks. Raises UnreadableImageError."""
    def read() -> tuple[str, int]:
        seen, size = hashlib.sha256(), 0
        with opened(path) as file:
            for block in _blocks(file, _BLOCK):
                seen.update(block)
                size += len(block)
        return seen.hexdigest(), size

    return _patiently(read)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file of at most MAX_BYTES. Raises UnreadableImageError, also for what reading it raises."""
    try:
        _refuse(path.stat())  # before it is opened: opening a device may do something
        with open_regular(path) as file:
            _refuse(os.fstat(file.fileno()))
            yield file
    except UnreadableImageError:
        raise
    except (OSError, MemoryError) as error:
        raise UnreadableImageError(problem_of(error)) from error
    except ValueError as error:
        raise UnreadableImageError(f"no file can have this name ({error})", "unsupported") from error


def _refuse(about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise UnreadableImageError("no regular file (a pipe, a device or a folder)", "unsupported")
    if about.st_size > MAX_BYTES:
        raise _too_large(f"{about.st_size:,}")


def _too_large(size: str) -> UnreadableImageError:
    return UnreadableImageError(f"{size} bytes are too many, at most {MAX_BYTES:,} are read", "unsupported")


def _blocks(file: BinaryIO, first: int) -> Iterator[bytes]:
    """Read a file to its end, in a block of `first` bytes and small ones: some files do not know how long they are."""
    left, length = MAX_BYTES, first
    while block := file.read(max(length, 1)):
        left -= len(block)
        if left < 0:
            raise _too_large(f"more than {MAX_BYTES:,}")
        yield block
        length = _BLOCK


def _patiently(read: Callable[[], Read]) -> Read:
    """Read, up to three times where the system gives a reason that may pass."""
    for pause in _PAUSES:
        try:
            return read()
        except UnreadableImageError as error:
            if not (isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSES):
                raise
        time.sleep(pause)
    return read()
