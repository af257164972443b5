"""Files of this machine that a manifest names, or tar shards, read by the same code as those of a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from matlens.data.remote.stores import Arrived, StoredObject, changed, too_large
from matlens.errors import DataError
from matlens.system.untrusted import open_regular, reason_of, size_of_regular


class LocalFiles:
    """Files of this machine."""

    tells_tags = True

    def below(self, address: str) -> Iterator[StoredObject]:
        """List the files that lie directly in a folder."""
        try:
            found = [_object(file, file.name) for file in sorted(Path(address).iterdir()) if file.is_file()]
        except OSError as error:
            raise DataError(f"Cannot read {address}: {reason_of(error)}. Correct the address.") from error
        yield from found

    def beside(self, base: str, paths: list[str]) -> dict[str, StoredObject]:
        """Return the files of a manifest's photos."""
        try:
            return {path: _object(file, path) for path in paths if (file := Path(base, path)).is_file()}
        except OSError as error:
            raise DataError(f"Cannot read {base}: {reason_of(error)}. Repeat the command.") from error

    def bring(self, wanted: StoredObject, to: Path, most: int, known: str = "") -> Arrived | None:
        """Give a file a second name, which takes no room; on another disk, copy it."""
        file = Path(wanted.address)
        if known and known == wanted.tag:
            return None
        try:
            if size_of_regular(file) > most:
                raise too_large(wanted.public, most)
            to.unlink(missing_ok=True)
            try:
                os.link(file.resolve(), to)
            except OSError:  # another disk, or a system without links
                with open_regular(file) as source, to.open("xb") as target:
                    shutil.copyfileobj(source, target)
            if _object(file, "").tag != wanted.tag:
                raise changed(wanted.public)
        except (OSError, ValueError) as error:
            raise DataError(f"Cannot read {wanted.public}: {reason_of(error)}. Put the file back, or take it out of "
                            "the list.") from error
        return Arrived(to.stat().st_size, wanted.tag)

    def has_changed(self, wanted: StoredObject, known: str) -> bool:
        """Look at a file."""
        try:
            return _object(Path(wanted.address), "").tag != known
        except OSError:
            return True


def _object(file: Path, name: str) -> StoredObject:
    about = file.stat()
    return StoredObject(str(file), str(file), name, about.st_size, f"{about.st_size}-{about.st_mtime_ns}")
