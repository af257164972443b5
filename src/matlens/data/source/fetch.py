"""Download MINC-2500 from its authors, check it and unpack it."""

from __future__ import annotations

import errno
import hashlib
import itertools
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from matlens.data.source import minc
from matlens.data.source.download import MOST, download, forget_download, part_of, was_downloaded
from matlens.data.source.patience import Patience
from matlens.data.source.sources import Source, open_source
from matlens.data.source.unpack import Limits, unpack
from matlens.errors import DataError, SettingsError, WriteError
from matlens.settings.knobs import notebook_setting
from matlens.system.console import Advance, Reporter
from matlens.system.files import whole_folder
from matlens.system.ownership import places as kaggle
from matlens.system.ownership.locks import lock_at, turn
from matlens.system.ownership.temporary import reclaim_beside, temporary_beside
from matlens.system.untrusted import open_regular, reading

ARCHIVE_NAME = "minc-2500.tar.gz"

_UNPACKED = 1.1
"""How many bytes a byte of the archive becomes at most: packing hardly makes JPEG files smaller."""


def default_place() -> Path:
    """Return where MINC-2500 goes: DATA_DIR, or below /kaggle/tmp on Kaggle, whose input folder is read-only.

    Kaggle would save all 57,500 files as the notebook's output if they were in /kaggle/working.
    """
    place: Path = notebook_setting("data_dir")
    root = kaggle.KAGGLE_ROOT
    return root / "tmp" / place.name if place.is_relative_to(root / "input") else place


def fetch_minc(to: Path, reporter: Reporter, *, url: str = minc.ARCHIVE_URL, sha1: str = minc.ARCHIVE_SHA1,
               keep_archive: bool = False, patience: Patience | None = None, limits: Limits | None = None) -> Source:
    """Return MINC-2500 in the folder `to`. If it is not there, download its archive beside the folder and unpack it.

    The dataset is there whole or not at all, and the next call continues what was interrupted. If two calls run at the
    same time, the second waits for the first.

    Args:
        url: the archive's address: http, https or file.
        sha1: the archive's SHA-1, 40 hexadecimal digits.
        keep_archive: do not remove the archive after unpacking. An archive that matlens did not download stays.

    Raises:
        SettingsError: `url` is no address, or `sha1` is no SHA-1.
        DataError: the archive cannot be downloaded, is another one, or needs more space than there is; or `to` holds
            something else.
        WriteError: a file cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise SettingsError(f"--url {url}: give an address that begins with http://, https:// or file://")
    if not re.fullmatch("[0-9a-f]{40}", sha1 := sha1.lower()):
        raise SettingsError(f"--sha1 {sha1}: give the 40 hexadecimal digits of the archive's SHA-1")
    try:
        to = to.resolve()  # the dataset goes to where a link leads, and the link stays
        to.parent.mkdir(parents=True, exist_ok=True)
        _try_to_write(to.parent)
        with turn(lock_at(to.parent / f".{ARCHIVE_NAME}.lock"),
                  lambda: reporter.say(f"another matlens is fetching to {to.parent}; waiting for it")) as alone:
            if alone:
                reclaim_beside(to)
            if (there := _there(to)) is not None:
                _forget_archive(to.parent / ARCHIVE_NAME, keep_archive)
                reporter.say(f"{to} is there already, and whole")
                return there
            archive = _archive_of(url, to)
            if not archive.exists():
                _download(url, archive, reporter, patience)
            _check(archive, sha1, is_beside=archive.parent == to.parent, reporter=reporter)
            source = _unpack(archive, to, reporter, limits)
            _forget_archive(to.parent / ARCHIVE_NAME, keep_archive)
            if archive.exists():
                reporter.say(f"{archive} is not needed any more")
            return source
    except RuntimeError as error:
        raise DataError(f"{to} is a link that leads to itself. Name another folder with --to.") from error
    except (OSError, WriteError) as error:
        reason = f"There is no room left in {to.parent}" if error.errno == errno.ENOSPC else (
            f"Cannot write to {to.parent}: {error.strerror or error}")
        raise WriteError(f"{reason}. Name another place with --to.", error.errno, error.strerror or "") from error


def _try_to_write(folder: Path) -> None:
    """Raise OSError where no file can be made: a lock would be waited for there, and never come."""
    with temporary_beside(folder / ARCHIVE_NAME):
        pass


@contextmanager
def _still_free(to: Path) -> Iterator[None]:
    """Raise DataError where somebody has put something into the folder meanwhile."""
    yield
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise DataError(f"{to} holds something now that was not there before; it stays as it is. Name another folder "
                        "with --to.")


def _there(to: Path) -> Source | None:
    """Return the dataset in `to` if it is whole. Raises DataError if something else is there."""
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return None
    try:
        source = open_source(to)
        wrong = minc.deviations(source)
    except DataError as error:
        wrong = [str(error)]
    if wrong:
        raise DataError(f"{to} is there, but is not MINC-2500 as published: {' '.join(wrong)} Remove it, or name "
                        "another folder with --to.")
    return source


def _forget_archive(archive: Path, keep: bool) -> None:
    """Remove an archive that matlens downloaded, maybe in a call that was killed; and what is noted of a download."""
    if not keep and was_downloaded(archive):
        archive.unlink()
    forget_download(archive)


def _archive_of(url: str, to: Path) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return to.parent / ARCHIVE_NAME
    archive = Path(url2pathname(parts.path))
    if not archive.is_file():
        raise DataError(f"No such file: {archive} (--url {url}). Name the archive's place, or leave --url out.")
    return archive


def _download(url: str, archive: Path, reporter: Reporter, patience: Patience | None) -> None:
    with ExitStack() as stack:
        show: Advance | None = None
        start_time, start_size = 0.0, 0

        def before(have: int, size: int | None) -> None:
            nonlocal show, start_time, start_size
            if size is not None:
                _need_room(archive.parent, size - have + size * _UNPACKED)
            start_time, start_size = time.monotonic(), have
            show = show or stack.enter_context(
                reporter.progress(f"downloading {archive.name}", math.ceil((size or 0) / 1e6)))

        def advance(have: int, _: int | None) -> None:
            rate = (have - start_size) / max(time.monotonic() - start_time, 1e-3)
            if show is not None:
                show(int(have / 1e6), f"MB, {rate / 1e6:.1f} MB/s")

        reporter.say(f"downloading {url} to {archive}"
                     + (", continuing from what has arrived" if part_of(archive).exists() else ""))
        try:
            download(url, archive, before=before, advance=advance, say=reporter.say, patience=patience)
        except DataError as error:
            raise DataError(f"{error} {_ways_out(archive)}") from error


def _ways_out(archive: Path) -> str:
    ways = ("The same command goes on from what has arrived. Or download the file in a browser "
            f"({minc.ARCHIVE_URL}) and put it at {archive}: the same command then checks and unpacks it. Or name a "
            "mirror with --url.")
    if kaggle.is_kaggle():
        ways += (" On Kaggle no download is needed: add minc-2500 in the sidebar (Add Input), then see where it is "
                 "with: matlens data find")
    return ways


def _need_room(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{folder} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed for the "
                        "archive and its files. Make room, or name another place with --to.")


def _check(archive: Path, sha1: str, *, is_beside: bool, reporter: Reporter) -> None:
    """Compare the archive's SHA-1. If it is wrong, the archive does not stay in the way of the next try.

    Args:
        is_beside: the archive lies where the next try would use it, and not in a place of the user's.
    """
    reporter.say(f"checking the SHA-1 of {archive}")
    with (reading(archive, "the archive of MINC-2500", DataError, "Name it with --url, or remove it."),
          open_regular(archive) as file):
        if os.fstat(file.fileno()).st_size > MOST:
            raise ValueError(f"it has more than {MOST / 1e9:g} GB")
        digest = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    if digest == sha1:
        return
    if is_beside and was_downloaded(archive):  # nobody misses it
        archive.unlink()
        forget_download(archive)
        done = "It was removed; the same command downloads it again."
    elif not is_beside:
        done = "It stays as it is."
    else:
        aside = archive.rename(_free_name(archive.with_name(f"{archive.name}.wrong")))
        done = f"It was set aside as {aside}; the same command downloads it again."
    raise DataError(f"{archive} is not the expected archive: its SHA-1 is {digest}, not {sha1}. {done} If you want "
                    f"another edition, repeat the command with --sha1 {digest}.")


def _free_name(path: Path) -> Path:
    """Return a path that nothing has: this one, or with a number."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], numbered) if not os.path.lexists(name))


def _unpack(archive: Path, to: Path, reporter: Reporter, limits: Limits | None) -> Source:
    size = archive.stat().st_size
    _need_room(to.parent, size * _UNPACKED)
    with whole_folder(to) as partial, _still_free(to):
        inside = partial / ".unpacked"
        inside.mkdir()
        with reporter.progress(f"unpacking {archive.name}", math.ceil(size / 1e6)) as advance:
            unpack(archive, inside, lambda read: advance(int(read / 1e6), "MB"), limits)
        # The content of the archive's own folder goes to where the user wants the dataset.
        for entry in os.scandir(open_source(inside).root):
            Path(entry.path).rename(partial / entry.name)
        shutil.rmtree(inside)
    return open_source(to)
