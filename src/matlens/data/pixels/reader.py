"""Read photo files: the one way from a path to pixels, whoever asks and whatever is wrong with the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from matlens.data.pixels.decode import UnreadableImageError, decode, resize
from matlens.errors import DataError
from matlens.system.untrusted import size_of_regular
from matlens.types import Pixels


@dataclass(frozen=True)
class PhotoReader:
    """Read photos as RGB pixels, (H, W, 3) uint8, upright.

    img_size: (height, width) that photos are resized to; None leaves them as large as their files hold them.
    keep_truncated: accept a photo whose end is missing, the missing part grey or black.
    min_size: (height, width) that is large enough where nothing is resized: `decode` may then shrink a far larger JPEG.
    """

    img_size: tuple[int, int] | None = None
    keep_truncated: bool = False
    min_size: tuple[int, int] | None = None

    def attempt(self, path: Path) -> Pixels | str:
        """Read a photo. Returns its pixels, or the reason why there are none."""
        try:
            return self._pixels(_content(path))
        except UnreadableImageError as error:
            return str(error)

    def read(self, path: Path) -> Pixels:
        """Read a photo. Raises DataError, which names the file and the reason."""
        try:
            return self._pixels(_content(path))
        except UnreadableImageError as error:
            raise DataError(f"Cannot read {path}: {error}.") from error

    def read_or_none(self, path: Path) -> Pixels | None:
        """Read a photo. Returns None where it cannot be read."""
        pixels = self.attempt(path)
        return None if isinstance(pixels, str) else pixels

    def read_unchanged(self, path: Path, sha256: str) -> Pixels:
        """Read a photo of a split, whose content must still have the SHA-256 that the split states.

        Raises:
            DataError: the file cannot be read, or it was changed since the split was made.
        """
        try:
            content = _content(path)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise DataError(f"{path} was changed after the split was made. Put the original file back, or start a "
                                "new run, which makes a new split.")
            return self._pixels(content)
        except UnreadableImageError as error:
            raise DataError(f"Cannot read {path}, which is part of the split: {error}.") from error

    def _pixels(self, content: bytes) -> Pixels:
        pixels = decode(content, min_size=self.img_size or self.min_size, keep_truncated=self.keep_truncated)
        return pixels if self.img_size is None else resize(pixels, self.img_size)


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file: a pipe under a photo's name would never end."""
    try:
        size_of_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    except ValueError as error:  # of `size_of_regular`, or of a name that no file can have
        raise UnreadableImageError(str(error)) from error
