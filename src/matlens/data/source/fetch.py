"""Fetch MINC-2500 from its authors."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from matlens.data.source import minc
from matlens.data.source.download import Patience, download, forget_part, part_of
from matlens.data.source.sources import Source, open_source
from matlens.data.source.unpack import Limits, unpack
from matlens.errors import DataError, SettingsError, WriteError
from matlens.settings import kaggle
from matlens.settings.knobs import notebook_settings
from matlens.system.caches import lock_at, turn
from matlens.system.console import Advance, Reporter
from matlens.system.files import whole_folder, whole_of

ARCHIVE_NAME = "minc-2500.tar.gz"

_UNPACKED = 1.1
"""Bytes that a byte of the archive becomes, at most: JPEG files hardly get smaller by packing."""


def default_place() -> Path:
    """Where MINC-2500 goes: DATA_DIR; on Kaggle, whose input folder is read-only, /kaggle/tmp.

    What lies in /kaggle/working would be saved as the notebook's output, all 57,500 files of it.
    """
    place = notebook_settings().data_dir
    root = kaggle.KAGGLE_ROOT
    return root / "tmp" / place.name if place.is_relative_to(root / "input") else place


def fetch_minc(to: Path, reporter: Reporter, *, url: str = minc.ARCHIVE_URL, sha1: str = minc.ARCHIVE_SHA1,
               keep_archive: bool = False, patience: Patience | None = None, limits: Limits | None = None) -> Source:
    """Have MINC-2500 in the folder `to`: as it is there, or out of its archive, which is downloaded beside it.

    It is there whole or not at all, and whatever was interrupted is gone on with by the next call. Of two calls at the
    same time the second waits for the first.

    Args:
        url: of the archive: http, https or file.
        sha1: of the archive, 40 hexadecimal digits.
        keep_archive: do not remove it after unpacking. What this call has not downloaded is never removed.

    Raises:
        SettingsError: an address or a sum that is none.
        DataError: the archive cannot be had, is another one, or has no room; `to` holds something else.
    """
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise SettingsError(f"--url {url}: give an address that begins with http://, https:// or file://")
    if not re.fullmatch("[0-9a-f]{40}", sha1 := sha1.lower()):
        raise SettingsError(f"--sha1 {sha1}: give the 40 hexadecimal digits of the archive's SHA-1")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with turn(lock_at(to.parent / f".{ARCHIVE_NAME}.lock"),
                  lambda: reporter.say(f"another matlens is fetching to {to.parent}; waiting for it")) as alone:
            if (there := _there(to)) is not None:
                reporter.say(f"{to} is there already, and whole")
                return there
            if alone:
                _sweep(to)
            archive = _archive_of(url, to)
            downloaded = not archive.exists()
            if downloaded:
                _download(url, archive, reporter, patience)
            _check(archive, sha1, ours=downloaded, theirs=archive.parent != to.parent, reporter=reporter)
            source = _unpack(archive, to, reporter, limits)
            forget_part(to.parent / ARCHIVE_NAME)
            if downloaded and not keep_archive:
                archive.unlink()
            else:
                reporter.say(f"{archive} is not needed any more")
            return source
    except (OSError, WriteError) as error:
        reason = f"There is no room left in {to.parent}" if error.errno == errno.ENOSPC else (
            f"Cannot write to {to.parent}: {error.strerror or error}")
        raise DataError(f"{reason}. Name another place with --to.") from error


def _there(to: Path) -> Source | None:
    """The dataset in `to` if it is whole. Raises DataError if something else is there."""
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return None
    try:
        source = open_source(to)
        wrong = minc.deviations(source)
    except DataError as error:
        wrong = [str(error)]
    if wrong:
        raise DataError(f"{to} is there, but is not MINC-2500 as it should be: {' '.join(wrong)} Remove it, or name "
                        "another folder with --to.")
    return source


def _sweep(to: Path) -> None:
    """Remove what a killed unpacking left."""
    for partial in to.parent.glob(".*"):
        if whole_of(partial) == to:
            shutil.rmtree(partial, ignore_errors=True)


def _archive_of(url: str, to: Path) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return to.parent / ARCHIVE_NAME
    archive = Path(url2pathname(parts.path))
    if not archive.is_file():
        raise DataError(f"No such file: {archive} (--url {url})")
    return archive


def _download(url: str, archive: Path, reporter: Reporter, patience: Patience | None) -> None:
    with ExitStack() as stack:
        show: Advance | None = None
        begun_at, begun_with = 0.0, 0

        def before(have: int, size: int | None) -> None:
            nonlocal show, begun_at, begun_with
            if size is not None:
                _need_room(archive.parent, size - have + size * _UNPACKED)
            begun_at, begun_with = time.monotonic(), have
            show = show or stack.enter_context(
                reporter.progress(f"downloading {archive.name}", math.ceil((size or 0) / 1e6)))

        def advance(have: int, _: int | None) -> None:
            rate = (have - begun_with) / max(time.monotonic() - begun_at, 1e-3)
            if show is not None:
                show(int(have / 1e6), f"MB, {rate / 1e6:.1f} MB/s")

        reporter.say(f"downloading {url} to {archive}"
                     + (", going on from where it was left" if part_of(archive).exists() else ""))
        try:
            download(url, archive, before=before, advance=advance, say=reporter.say, patience=patience)
        except DataError as error:
            raise DataError(f"{error} {_ways_out(archive)}") from error


def _ways_out(archive: Path) -> str:
    ways = ("The same command goes on from what has arrived. Or get the file by other means, such as a browser "
            f"({minc.ARCHIVE_URL}), and put it at {archive}: the same command then checks and unpacks it. Or name a "
            "mirror with --url.")
    if kaggle.is_kaggle():
        ways += (" On Kaggle, a dataset needs no download: add minc-2500 in the sidebar (Add Input), then see where it "
                 "is with: matlens data find")
    return ways


def _need_room(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{folder} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed, for the "
                        "archive and what comes out of it. Make room, or name another place with --to.")


def _check(archive: Path, sha1: str, *, ours: bool, theirs: bool, reporter: Reporter) -> None:
    """Compare the archive's sum; a wrong one is taken out of the way of the next try.

    Args:
        ours: downloaded by this call, so that nobody misses it.
        theirs: not beside the dataset, but where the user has it.
    """
    reporter.say(f"checking the SHA-1 of {archive}")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    if found == sha1:
        return
    if ours:
        archive.unlink()
        done = "It was removed; the same command downloads it anew."
    elif theirs:
        done = "It was left as it is."
    else:
        aside = archive.replace(archive.with_name(f"{archive.name}.wrong"))
        done = f"It was set aside as {aside}; the same command downloads it anew."
    raise DataError(f"{archive} is not the archive that it should be: its SHA-1 is {found}, not {sha1}. {done} If you "
                    "mean another edition of it, give its sum with --sha1.")


def _unpack(archive: Path, to: Path, reporter: Reporter, limits: Limits | None) -> Source:
    size = archive.stat().st_size
    _need_room(to.parent, size * _UNPACKED)
    with whole_folder(to) as partial:
        inside = partial / ".unpacked"
        inside.mkdir()
        with reporter.progress(f"unpacking {archive.name}", math.ceil(size / 1e6)) as advance:
            unpack(archive, inside, lambda read: advance(int(read / 1e6), "MB"), limits)
        # The archive's own folder would be one too many: its content goes to where the user wants the dataset.
        for entry in os.scandir(open_source(inside).root):
            Path(entry.path).rename(partial / entry.name)
        shutil.rmtree(inside)
    return open_source(to)
